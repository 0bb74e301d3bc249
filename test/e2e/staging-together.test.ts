/** Many at work in staging at the same time, with commits among them, and what ends a commit. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { eventually, isAlive, pbsfs, program, runProgram, start } from '../support/command.js';
import { canMount, nobody, openDeviceForUsers } from '../support/mounted-everything.js';
import { noise } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { beginStaging, commit, eventsOf, isMounted, mountToStage, type StagedMount } from '../support/staged-mount.js';
import { places } from '../support/store-table.js';

const mebibyte = 1 << 20;
const time = '2026-11-21T19:00:00Z';
const large = join(scratchDirectory(), 'large');

/** Takes a second or more to commit. */
function fillLarge(staging: string): void {
  if (!statSync(large, { throwIfNoEntry: false })) writeFileSync(large, noise('large', 64 * mebibyte));
  mkdirSync(join(staging, 'x.pxar'), { recursive: true });
  for (let n = 0; n < 3; n++) execFileSync('sh', ['-c', 'printf %s "$1" | cat - "$2" > "$3"', 'sh', String(n), large, join(staging, 'x.pxar', `large${n}`)]);
}

function startCommit(group: string): ReturnType<typeof start> {
  return start(process.execPath, [program, 'commit', group, '--json', '--time', time]);
}

/** What a commit has begun to write. On a server the group comes with it. */
function halfDone(mount: StagedMount): string[] {
  const group = join(mount.store, 'host/web1');
  return existsSync(group) ? readdirSync(group).filter((name) => name.startsWith('.pbsfs-')) : [];
}

async function underWay(mount: StagedMount): Promise<void> {
  await eventually(() => halfDone(mount).length > 0, 'the commit is under way');
}

describe.skipIf(!canMount).each(places)('at the same time, the store %s,', (storeAt) => {
  test('64 writers, each of which syncs what it wrote', async () => {
    const mount = await mountToStage({ storeAt });
    const staging = beginStaging(mount, 'host/web1');
    mkdirSync(join(staging, 'x.pxar'));
    const contents = Array.from({ length: 64 }, (_, n) => noise(`writer ${n}`, 100_000 + n * 1000));
    const write = async (content: Buffer, n: number): Promise<void> => {
      const path = join(staging, n % 8 === 0 ? `blob${n}` : n % 8 === 1 ? `disk${n}.img` : `x.pxar/file${n}`);
      const file = await open(path, 'w');
      for (let at = 0; at < content.length; at += 10_000) {
        await file.write(content, at, Math.min(10_000, content.length - at), at);
        await file.sync();
      }
      await file.close();
      contents[n] = content;
    };
    await Promise.all(contents.map(write));
    renameSync(staging, join(mount.mountPoint, 'host/web1', time));
    const made = join(mount.mountPoint, 'host/web1', time);
    contents.forEach((content, n) => {
      const path = join(made, n % 8 === 0 ? `blob${n}` : n % 8 === 1 ? `disk${n}.img` : `x.pxar/file${n}`);
      expect(readFileSync(path).equals(content), path).toBe(true);
    });
    await mount.unmount();
  });

  test('a commit, and readers and writers of its group: listed, read, and EBUSY for who would write', async () => {
    const mount = await mountToStage({ storeAt });
    const group = join(mount.mountPoint, 'host/web1');
    const staging = beginStaging(mount, 'host/web1');
    fillLarge(staging);
    writeFileSync(join(staging, 'x.pxar/text'), 'before');
    const other = beginStaging(mount, 'host/web2');
    const committing = startCommit(group);
    await underWay(mount);
    let listed = 0;
    let refused = 0;
    let written = '';
    while (committing.child.exitCode === null) {
      const begun = performance.now();
      const names = readdirSync(group);
      expect(performance.now() - begun).toBeLessThan(2000);
      listed++;
      if (!names.includes('staging')) break;
      for (const act of [
        () => writeFileSync(join(staging, 'x.pxar/text'), 'after'),
        () => writeFileSync(join(staging, 'x.pxar/new'), 'new'),
        () => truncateSync(join(staging, 'x.pxar/large1'), 0),
        () => chmodSync(join(staging, 'x.pxar/large2'), 0o600),
        () => rmSync(join(staging, 'x.pxar/large2')),
        () => renameSync(join(staging, 'x.pxar/text'), join(staging, 'x.pxar/text2')),
        () => mkdirSync(join(staging, 'y.pxar')),
      ]) {
        const code = failure(act);
        if (code === 'EBUSY') refused++;
        else expect([code, readdirSync(group).includes('staging')]).toEqual([expect.any(String), false]);
      }
      written = String(listed);
      writeFileSync(join(other, 'blob'), written);
      await delay(20);
    }
    expect(await committing.exited).toBe(0);
    expect(Math.min(listed, refused)).toBeGreaterThan(2);
    expect(readFileSync(join(group, time, 'x.pxar/text'), 'utf8')).toBe('before');
    expect(readdirSync(join(group, time, 'x.pxar')).sort()).toEqual(['large0', 'large1', 'large2', 'text']);
    for (let n = 0; n < 3; n++) expect(statSync(join(group, time, `x.pxar/large${n}`)).size).toBe(64 * mebibyte + 1);
    expect(readFileSync(join(other, 'blob'), 'utf8')).toBe(written);
    await mount.unmount();
  });

  test('commits of several groups, and two of one', async () => {
    const mount = await mountToStage({ storeAt });
    const groups = Array.from({ length: 8 }, (_, n) => `host/web${n}`);
    for (const group of groups) writeFileSync(join(beginStaging(mount, group), 'disk.img'), noise(group, 9 * mebibyte));
    const done = await Promise.all(groups.map((group) => commit(join(mount.mountPoint, group), ['--time', '2026-11-20T19:00:00Z'])));
    expect(done.map(({ status }) => status)).toEqual(groups.map(() => 0));
    for (const group of groups) expect(readFileSync(join(mount.mountPoint, group, 'latest/disk.img')).equals(noise(group, 9 * mebibyte))).toBe(true);
    fillLarge(beginStaging(mount, 'host/web1'));
    const first = startCommit(join(mount.mountPoint, 'host/web1'));
    await underWay(mount);
    expect(await commit(join(mount.mountPoint, 'host/web1'))).toMatchObject({ status: 7 });
    expect(failure(() => renameSync(join(mount.mountPoint, 'host/web1/staging'), join(mount.mountPoint, 'host/web1/now')))).toBe('EBUSY');
    expect(await first.exited).toBe(0);
    await mount.unmount();
  });

  test('two users, who keep what is theirs', async () => {
    const close = await openDeviceForUsers();
    const mount = await mountToStage({ storeAt, args: ['--allow-other'] });
    const staging = beginStaging(mount, 'host/web1');
    const run = (uid: number, script: string): string =>
      execFileSync('sh', ['-c', script, 'sh', join(staging, 'x.pxar')], { uid, gid: uid, cwd: '/', encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    mkdirSync(join(staging, 'x.pxar'));
    expect(() => run(nobody, 'touch "$1/file"')).toThrow(/Permission denied/);
    chmodSync(staging, 0o711);
    chmodSync(join(staging, 'x.pxar'), 0o1777);
    const [one, two] = [run(nobody, 'for i in $(seq 200); do echo $i > "$1/one$i"; done; chmod 600 "$1"/one*'), run(1000, 'for i in $(seq 200); do echo $i > "$1/two$i"; done')];
    expect([one, two]).toEqual(['', '']);
    expect(() => run(1000, 'cat "$1/one1"')).toThrow(/Permission denied/);
    expect(() => run(1000, 'rm -f "$1/one1"')).toThrow(/not permitted/);
    expect(() => run(nobody, 'mv "$(dirname "$1")" "$(dirname "$(dirname "$1")")/now"')).toThrow(/Permission denied|cannot move/);
    renameSync(staging, join(mount.mountPoint, 'host/web1', time));
    const made = join(mount.mountPoint, 'host/web1', time, 'x.pxar');
    const { uid, gid, mode } = statSync(join(made, 'one7'));
    expect([uid, gid, mode & 0o777]).toEqual([nobody, nobody, 0o600]);
    expect(statSync(join(made, 'two7')).uid).toBe(1000);
    await mount.unmount();
    await close();
  });
});

describe.skipIf(!canMount).each(places)('a commit to a store %s that is ended', (storeAt) => {
  afterAll(() => rmSync(large, { force: true }));

  test('by Ctrl-C of pbsfs commit leaves everything staged, for the next one', async () => {
    const mount = await mountToStage({ storeAt });
    const group = join(mount.mountPoint, 'host/web1');
    fillLarge(beginStaging(mount, 'host/web1'));
    const committing = startCommit(group);
    await underWay(mount);
    committing.child.kill('SIGINT');
    expect(await committing.exited).toBe(130);
    await eventually(() => halfDone(mount).length === 0, 'nothing half-done is left');
    expect(readdirSync(group)).toEqual(['staging']);
    writeFileSync(join(group, 'staging/notes.conf'), 'text');
    const done = await commit(group, ['--time', time]);
    expect(eventsOf(done).at(-1)).toMatchObject({ event: 'finished' });
    expect(readdirSync(join(group, time))).toContain('notes.conf');
    await mount.unmount();
  });

  test('by umount is refused while somebody waits for it', async () => {
    const mount = await mountToStage({ storeAt });
    const group = join(mount.mountPoint, 'host/web1');
    fillLarge(beginStaging(mount, 'host/web1'));
    const committing = startCommit(group);
    await underWay(mount);
    expect(await pbsfs(['umount', mount.mountPoint])).toMatchObject({ status: 7 });
    expect(await committing.exited).toBe(0);
    await mount.unmount();
    await mount.again();
    expect(readdirSync(group).sort()).toEqual([time, 'latest']);
    await mount.unmount();
  });

  test('by SIGTERM of the daemon goes on to its end, while somebody waits for it', async () => {
    const mount = await mountToStage({ storeAt });
    const group = join(mount.mountPoint, 'host/web1');
    fillLarge(beginStaging(mount, 'host/web1'));
    const pid = await mount.daemon();
    const moving = spawn('mv', [join(group, 'staging'), join(group, time)], { stdio: 'ignore', cwd: '/' });
    await underWay(mount);
    process.kill(pid, 'SIGTERM');
    expect(await once(moving, 'close')).toEqual([0, null]);
    await eventually(() => !isAlive(pid) && !isMounted(mount), 'the daemon ends');
    await mount.again();
    expect(readdirSync(group).sort()).toEqual([time, 'latest']);
    await mount.unmount();
  });

  test('by the end of a mount that nobody waits in is given up, and what is staged is there again', async () => {
    const mount = await mountToStage({ storeAt });
    const group = join(mount.mountPoint, 'host/web1');
    fillLarge(beginStaging(mount, 'host/web1'));
    const pid = await mount.daemon();
    const committing = startCommit(group);
    await underWay(mount);
    committing.child.kill('SIGKILL');
    await committing.exited;
    await eventually(() => {
      execFileSync('sh', ['-c', 'umount "$1" 2> /dev/null || true', 'sh', mount.mountPoint]);
      return !isMounted(mount);
    }, 'it is unmounted');
    await eventually(() => !isAlive(pid), 'the daemon ends');
    expect(mount.logged()).toMatch(/could not be committed: the backup was interrupted/);
    await mount.again();
    expect(readdirSync(group)).toEqual(['staging']);
    // A server may notice a little later that its client is gone.
    await eventually(() => halfDone(mount).length === 0, 'nothing half-done is left');
    const same = await runProgram('sh', ['-c', 'tail -c +2 "$1" | cmp - "$2"', 'sh', join(group, 'staging/x.pxar/large1'), large]);
    expect(same).toMatchObject({ status: 0 });
    await mount.unmount();
  });
});

function failure(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}
