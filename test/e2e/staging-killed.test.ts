/** The daemon is killed at random moments while it is written to and while it commits. */
import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually, isAlive, pbsfs } from '../support/command.js';
import { canMount } from '../support/mounted-everything.js';
import { Random, noise, seed } from '../support/random.js';
import { beginStaging, commit, isMounted, mountToStage, type StagedMount } from '../support/staged-mount.js';

const killsOfWriters = 15;
const killsOfCommits = 20;
const writer = fileURLToPath(new URL('../support/staged-files-writer.js', import.meta.url));
const mebibyte = 1 << 20;

/** The daemon dies, and what is left of the mount goes. */
async function kill(mount: StagedMount, pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await eventually(() => !isAlive(pid), 'the daemon is dead');
  // Who watches over it may be faster.
  while (isMounted(mount)) spawnSync('umount', ['-l', mount.mountPoint], { stdio: 'ignore' });
}

interface Written {
  readonly path: string;
  readonly content: string;
}

/** Writes files of all kinds until something fails; tells of each that was closed or synced. */
function startWriter(staging: string, from: number): { child: ChildProcess; written: Written[]; ended: Promise<unknown> } {
  const child = fork(writer, [staging, String(from)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], cwd: '/' });
  const written: Written[] = [];
  child.on('message', (message) => written.push(message as Written));
  const ended = once(child, 'close');
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, written, ended };
}

describe.skipIf(!canMount)(`killed, seed ${seed}`, () => {
  test(`${killsOfWriters} times while files are written: what was closed or synced is there`, { timeout: 200_000 }, async () => {
    const random = new Random(seed);
    const mount = await mountToStage();
    const staging = beginStaging(mount, 'host/web1');
    mkdirSync(join(staging, 'x.pxar'));
    const all = new Map<string, string>();
    for (let n = 0; n < killsOfWriters; n++) {
      const pid = await mount.daemon();
      const { written, ended } = startWriter(staging, n * 10_000);
      await eventually(() => written.length > 0, 'the first file is written');
      await delay(random.below(1500));
      await kill(mount, pid);
      await ended;
      for (const { path, content } of written) all.set(path, content);
      await mount.again();
      for (const { path, content } of written) expect([path, readFileSync(join(staging, path), 'latin1').slice(0, content.length)]).toEqual([path, content]);
    }
    console.log(`${all.size} files were written before ${killsOfWriters} kills`);
    for (const [path, content] of all) expect([path, readFileSync(join(staging, path), 'latin1').slice(0, content.length)]).toEqual([path, content]);
    const names = readdirSync(staging, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(staging, name)).isFile());
    const sizes = names.map((name) => [name, statSync(join(staging, name)).size] as const);
    // What was being written when it happened; an image has at least one byte.
    for (const [name, size] of sizes) if (name.endsWith('.img') && size === 0) rmSync(join(staging, name));
    const before = new Map(sizes.filter(([name]) => existsSync(join(staging, name))));
    renameSync(staging, join(mount.mountPoint, 'host/web1/now'));
    const latest = join(mount.mountPoint, 'host/web1/latest');
    for (const [path, size] of before) expect([path, statSync(join(latest, path)).size]).toEqual([path, size]);
    for (const [path, content] of all) expect([path, readFileSync(join(latest, path), 'latin1').slice(0, content.length)]).toEqual([path, content]);
    await mount.unmount();
  });

  test(`${killsOfCommits} times while it commits: there is what was staged or the snapshot, never both and never none`, { timeout: 300_000 }, async () => {
    const random = new Random(seed);
    const mount = await mountToStage();
    const group = join(mount.mountPoint, 'host/web1');
    const staging = join(group, 'staging');
    const fill = (round: number): void => {
      mkdirSync(join(staging, 'x.pxar'), { recursive: true });
      for (let n = 0; n < 30; n++) writeFileSync(join(staging, 'x.pxar', `file${n}`), noise(`${round} ${n}`, 50_000));
      writeFileSync(join(staging, 'disk.img'), noise(`image ${round}`, 6 * mebibyte));
      writeFileSync(join(staging, 'round'), String(round));
    };
    let committed = 0;
    let round = 0;
    let usualMs = 400;
    beginStaging(mount, 'host/web1');
    fill(round);
    for (let n = 0; n < killsOfCommits; n++) {
      const pid = await mount.daemon();
      const time = new Date(Date.UTC(2026, 0, 1) + n * 60_000).toISOString().replace('.000', '');
      const begun = performance.now();
      const committing = n % 2 === 0 ? commit(group, ['--time', time]) : renamed(staging, join(group, time));
      await delay(random.below(Math.ceil(usualMs * 1.3)));
      await kill(mount, pid);
      await committing;
      await mount.again();
      const snapshots = readdirSync(group).filter((name) => name !== 'latest' && name !== 'staging');
      const isCommitted = snapshots.includes(time);
      expect([n, existsSync(staging), snapshots.length]).toEqual([n, !isCommitted, committed + (isCommitted ? 1 : 0)]);
      const place = isCommitted ? join(group, time) : staging;
      expect(readFileSync(join(place, 'round'), 'utf8')).toBe(String(round));
      expect(readFileSync(join(place, 'disk.img')).equals(noise(`image ${round}`, 6 * mebibyte))).toBe(true);
      for (let file = 0; file < 30; file++) expect(readFileSync(join(place, `x.pxar/file${file}`)).equals(noise(`${round} ${file}`, 50_000))).toBe(true);
      if (!isCommitted) {
        usualMs = Math.min(usualMs * 1.3, 4000);
        continue;
      }
      usualMs = Math.max(Math.min(usualMs, performance.now() - begun) * 0.8, 100);
      committed++;
      round++;
      beginStaging(mount, 'host/web1');
      fill(round);
    }
    console.log(`${committed} of ${killsOfCommits} commits were made before the kill`);
    await mount.unmount();
    // Nothing of those that were not made is left but chunks.
    const leftovers = readdirSync(join(mount.store, 'host/web1')).filter((name) => name.startsWith('.'));
    expect(leftovers.length).toBeLessThanOrEqual(1);
    expect((await pbsfs(['snapshots', '--json', mount.store])).stdout.trim().split('\n')).toHaveLength(committed);
  });

  test('what is open when it happens fails, and what was synced of it is there', async () => {
    const mount = await mountToStage();
    const staging = beginStaging(mount, 'host/web1');
    mkdirSync(join(staging, 'x.pxar'));
    const names = ['x.pxar/file', 'disk.img', 'blob'];
    const open = names.map((name) => openSync(join(staging, name), 'w'));
    for (const fd of open) {
      writeSync(fd, 'synced');
      fsyncSync(fd);
      writeSync(fd, ' and not synced');
    }
    await kill(mount, await mount.daemon());
    for (const fd of open) expect(() => closeAfterWrite(fd)).toThrow(/ENOTCONN|ECONNABORTED|EIO/);
    await mount.again();
    for (const name of names) expect(readFileSync(join(staging, name), 'utf8')).toMatch(/^synced/);
    await mount.unmount();
  });
});

function closeAfterWrite(fd: number): void {
  try {
    writeSync(fd, 'more');
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A rename by another process, which is stuck until it is done. */
async function renamed(from: string, to: string): Promise<unknown> {
  const child = fork(writer, ['rename', from, to], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], cwd: '/' });
  return await once(child, 'close');
}

describe.skipIf(!canMount)('one spool', () => {
  test('is used by one daemon at a time, and by the next one when that is gone', async () => {
    const mount = await mountToStage();
    writeFileSync(join(beginStaging(mount, 'host/web1'), 'notes.conf'), 'text');
    const other = join(mount.directory, 'other');
    mkdirSync(other);
    const refused = await pbsfs(['mount', '--writable', '--spool', mount.spool, mount.store, other]);
    expect(refused).toMatchObject({ status: 7 });
    expect(refused.stderr).toMatch(/the spool \S+ is in use by another mount; unmount that, or give another one with --spool/);
    expect(isMounted({ mountPoint: other })).toBe(false);
    const apart = await pbsfs(['mount', '--writable', '--spool', join(mount.directory, 'spool'), mount.store, other]);
    expect(apart).toMatchObject({ status: 0 });
    expect(readdirSync(join(other, 'host/web1'))).toEqual([]);
    expect(statSync(join(mount.directory, 'spool')).mode & 0o777).toBe(0o700);
    expect(await pbsfs(['umount', other])).toMatchObject({ status: 0 });
    await mount.unmount();
    await mount.again();
    expect(readFileSync(join(mount.mountPoint, 'host/web1/staging/notes.conf'), 'utf8')).toBe('text');
    rmSync(join(mount.mountPoint, 'host/web1/staging'), { recursive: true });
    await mount.unmount();
  });
});
