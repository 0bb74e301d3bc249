/** `pbsfs stage`: a whole snapshot is staged as it was, without its data, and what is committed then adds only what was changed. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, rmSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '../../src/format/manifest.js';
import { describeTree } from '../support/archived-trees.js';
import { bytesTaken, chunkFiles, isClone, spooled } from '../support/cloned-files.js';
import { eventually, isAlive, pbsfs, type Ended } from '../support/command.js';
import { keyPath } from '../support/fixtures.js';
import { canMount } from '../support/mounted-everything.js';
import { makeOddTree } from '../support/odd-trees.js';
import { madeStore } from '../support/made-stores.js';
import { emptyStore } from '../support/new-snapshots.js';
import { noise, Random, seed, text } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { beginStaging, commit, eventsOf, isMounted, mountToStage, rsyncDifferences, type StagedMount } from '../support/staged-mount.js';
import type { Place } from '../support/store-table.js';
import { changeManifest } from '../support/trees.js';

const group = 'host/web1';
const times = ['2026-11-21T19:00:00Z', '2026-11-22T19:00:00Z', '2026-11-23T19:00:00Z'] as const;
/** With it archives are below 32 MiB: of larger ones hard links may be shown late. */
const largeBytes = 24 << 20;
const directory = scratchDirectory();
const source = join(directory, 'source');
const image = join(directory, 'disk');
const keyFile = join(directory, 'key.json');
const otherKeyFile = join(directory, 'other.json');

function stage(mount: StagedMount, args: readonly string[] = [], of = group): Promise<Ended> {
  return pbsfs(['stage', join(mount.mountPoint, of), '--json', ...args]);
}

/** Of the root of an archive the mount shows facts as attributes. */
function contentsOf(root: string): object {
  const entries = [...describeTree(root)].map(([path, facts]) => [path, path === '' ? { ...facts, xattrs: {} } : facts] as const);
  return Object.fromEntries(entries);
}

async function backUp(store: string, args: readonly string[], time: string = times[0]): Promise<void> {
  const specs = [`tree.pxar:${source}`, `disk.img:${image}`, `notes.conf:${join(directory, 'notes')}`];
  const { status, stderr } = await pbsfs(['backup', '--store', store, '--id', 'web1', '--time', time, ...args, ...specs]);
  expect(status, stderr).toBe(0);
}

async function killed(mount: StagedMount): Promise<void> {
  const pid = await mount.daemon();
  process.kill(pid, 'SIGKILL');
  await eventually(() => !isAlive(pid) && !isMounted(mount), 'the daemon is gone');
}

beforeAll(async () => {
  writeFileSync(keyFile, readFileSync(keyPath('plain.json')), { mode: 0o600 });
  expect(await pbsfs(['key', 'create', otherKeyFile, '--kdf', 'none'])).toMatchObject({ status: 0 });
  mkdirSync(source);
  makeOddTree(source, new Random(seed), { entries: 300 });
  writeFileSync(join(source, 'large'), noise('large', largeBytes));
  writeFileSync(join(source, 'edited'), 'before\n');
  const script = `cd "$1"; printf x > capable; setcap cap_net_raw+ep capable; ln capable linked; printf y > dated; chattr +d dated; touch -d '1960-01-02 03:04:05.678' dated
    printf z > sealed; mkfifo fifo; mknod null c 1 3; ln -s /nowhere link; setfattr -n user.attribute -v value large; setfacl -m u:5:rw large`;
  execFileSync('sh', ['-c', script, 'sh', source]);
  writeFileSync(image, noise('disk', 9 << 20));
  writeFileSync(join(directory, 'notes'), 'some notes\n');
}, 60_000);

describe.skipIf(!canMount)(`seed ${seed}`, () => {
  test.each<[string, string[], string[], Place?]>([
    ['mode data, then metadata', ['--mode', 'data'], []],
    ['mode data, then metadata, on a server', ['--mode', 'data'], [], 'on a server'],
    ['encrypted, on a server', ['--mode', 'data', '--keyfile', keyFile], ['--keyfile', keyFile], 'on a server'],
    ['mode data', ['--mode', 'data'], ['--mode', 'data']],
    ['mode legacy', ['--mode', 'legacy'], ['--mode', 'legacy']],
    ['encrypted', ['--mode', 'data', '--keyfile', keyFile], ['--keyfile', keyFile]],
    ['signed', ['--mode', 'data', '--keyfile', keyFile, '--crypt-mode', 'sign-only'], ['--keyfile', keyFile, '--crypt-mode', 'sign-only']],
  ])('%s: all is staged without data; one file is edited, and only that is new', { timeout: 200_000 }, async (title, made, mounted, storeAt) => {
    const store = emptyStore();
    await backUp(store, made);
    const mount = await mountToStage({ store, ...(storeAt && { storeAt }), args: mounted });
    const [staging, latest] = ['staging', 'latest'].map((name) => join(mount.mountPoint, group, name)) as [string, string];
    const staged = await stage(mount);
    expect(staged.stderr).toBe('');
    expect(staged.status).toBe(0);
    expect(eventsOf(staged).at(-1)).toEqual({ event: 'finished', snapshot: `${group}/${times[0]}`, warnings: 0 });
    expect(eventsOf(staged).filter(({ event }) => event === 'archive').map(({ name }) => name).sort()).toEqual(['disk.img', 'notes.conf', 'tree.pxar']);
    expect(readdirSync(staging).sort()).toEqual(['disk.img', 'notes.conf', 'tree.pxar']);
    // The directories of the odd tree take most of it.
    expect(bytesTaken(mount.spool)).toBeLessThan(4 << 20);
    expect(isClone(spooled(mount, group, 'tree.pxar/large'))).toBe(true);
    const before = contentsOf(join(latest, 'tree.pxar'));
    expect(contentsOf(join(staging, 'tree.pxar'))).toEqual(before);
    execFileSync('cmp', [image, join(staging, 'disk.img')]);

    // Of the same size and time as before.
    writeFileSync(join(staging, 'tree.pxar/edited'), 'after!\n');
    execFileSync('touch', ['-r', join(latest, 'tree.pxar/edited'), join(staging, 'tree.pxar/edited')]);
    const chunks = chunkFiles(store);
    const done = await commit(join(mount.mountPoint, group));
    expect(done.stderr).toBe('');
    expect(done.status).toBe(0);
    // Metadata, catalog, and the chunks that the edited file and some files beside it are in.
    const added = chunkFiles(store).filter((path) => !chunks.includes(path));
    expect(added.reduce((sum, path) => sum + statSync(join(store, '.chunks', path)).size, 0), title).toBeLessThan(8 << 20);
    const archive = eventsOf(done).find(({ event, name }) => event === 'archive' && name === 'tree.pxar');
    expect(archive?.bytesReused).toBeGreaterThan(20 << 20);
    const after = contentsOf(join(latest, 'tree.pxar'));
    expect({ ...after, edited: undefined }).toEqual({ ...before, edited: undefined });
    expect(readFileSync(join(latest, 'tree.pxar/edited'), 'utf8')).toBe('after!\n');
    expect(readFileSync(join(latest, 'notes.conf'), 'utf8')).toBe('some notes\n');
    execFileSync('cmp', [image, join(latest, 'disk.img')]);
    expect(await rsyncDifferences(join(mount.mountPoint, group, times[0], 'tree.pxar'), join(latest, 'tree.pxar'))).toSatisfy((lines: string[]) => lines.every((line) => line.endsWith(' edited')));
    await mount.unmount();
  });

  test('killed between: what was staged is there and is committed; killed while it is staged, all of it or nothing', { timeout: 200_000 }, async () => {
    const store = emptyStore();
    await backUp(store, []);
    const mount = await mountToStage({ store });
    const at = join(mount.mountPoint, group);
    expect(await stage(mount)).toMatchObject({ status: 0 });
    execFileSync('dd', ['if=/dev/zero', `of=${join(at, 'staging/disk.img')}`, 'bs=1M', 'count=1', 'conv=notrunc,fsync', 'status=none']);
    await killed(mount);
    await mount.again();
    expect(contentsOf(join(at, 'staging/tree.pxar'))).toEqual(contentsOf(join(at, 'latest/tree.pxar')));
    expect(await commit(at)).toMatchObject({ status: 0, stderr: '' });
    execFileSync('sh', ['-c', '(head -c 1048576 /dev/zero; tail -c +1048577 "$1") | cmp - "$2"', 'sh', image, join(at, 'latest/disk.img')]);
    for (const delayMs of [0, 30, 60, 120]) {
      const running = stage(mount);
      await new Promise((resolve) => setTimeout(resolve, 350 + delayMs));
      await killed(mount);
      await running;
      await mount.again();
      if (!readdirSync(at).includes('staging')) continue;
      expect(contentsOf(join(at, 'staging/tree.pxar'))).toEqual(contentsOf(join(at, 'latest/tree.pxar')));
      rmSync(join(at, 'staging'), { recursive: true });
    }
    await mount.unmount();
    expect(readdirSync(join(mount.spool, readdirSync(mount.spool)[0] ?? '', 'groups')).filter((name) => name !== 'host:web1')).toEqual([]);
  });

  test('an older one; what is refused', { timeout: 100_000 }, async () => {
    const store = emptyStore();
    await backUp(store, []);
    writeFileSync(join(directory, 'notes'), 'newer notes\n');
    await backUp(store, [], times[1]);
    writeFileSync(join(directory, 'notes'), 'some notes\n');
    const mount = await mountToStage({ store });
    const at = join(mount.mountPoint, group);
    expect(await stage(mount, ['--from', '1999'])).toMatchObject({ status: 3 });
    expect(await stage(mount, ['--from', '2026-11'])).toMatchObject({ status: 3 });
    expect(await stage(mount, [], 'host/nothing')).toMatchObject({ status: 3 });
    expect((await pbsfs(['stage', directory])).stderr).toContain('no group of a mount with --writable');
    expect(readdirSync(at)).not.toContain('staging');
    // An empty directory is nothing that is staged.
    beginStaging(mount, group);
    expect(await stage(mount, ['--from', '2026-11-21'])).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(join(at, 'staging/notes.conf'), 'utf8')).toBe('some notes\n');
    const again = await stage(mount);
    expect(again.status).toBe(8);
    expect(again.stderr).toContain('staged in host/web1 already');
    expect(readFileSync(join(at, 'staging/notes.conf'), 'utf8')).toBe('some notes\n');
    expect(await commit(at)).toMatchObject({ status: 0, stderr: '' });
    expect(contentsOf(join(at, 'latest/tree.pxar'))).toEqual(contentsOf(join(at, times[0], 'tree.pxar')));
    await mount.unmount();
  });

  test('of another key: read with that, committed with the first one; without the key it is refused', { timeout: 100_000 }, async () => {
    const store = emptyStore();
    await backUp(store, ['--keyfile', otherKeyFile]);
    const mount = await mountToStage({ store, args: ['--keyfile', keyFile] });
    const refused = await stage(mount);
    expect(refused.status).toBe(4);
    expect(refused.stderr).toContain('KEY_REQUIRED');
    await mount.unmount();
    await mount.again(['--keyfile', keyFile, '--keyfile', otherKeyFile]);
    const at = join(mount.mountPoint, group);
    expect(await stage(mount)).toMatchObject({ status: 0, stderr: '' });
    expect(await commit(at)).toMatchObject({ status: 0, stderr: '' });
    await mount.unmount();
    await mount.again(['--keyfile', keyFile]);
    expect(statSync(join(at, 'latest/tree.pxar/large')).size).toBe(largeBytes);
    execFileSync('cmp', [join(source, 'large'), join(at, 'latest/tree.pxar/large')]);
    execFileSync('cmp', [image, join(at, 'latest/disk.img')]);
    await mount.unmount();
  });

  test('a blob that decodes to more than can be staged is shown, but not staged', { timeout: 60_000 }, async () => {
    const large = text('large', 20_000_000);
    const mount = await mountToStage({ store: madeStore({ blobs: { 'large.log': large } }) });
    expect(readFileSync(join(mount.mountPoint, 'host/made/latest/large.log')).equals(large)).toBe(true);
    const staged = await stage(mount, [], 'host/made');
    expect(staged.status).not.toBe(0);
    expect(staged.stderr).toMatch(/large\.log has 20000000 bytes, more than the 16 MiB/);
    expect(readdirSync(join(mount.mountPoint, 'host/made'))).not.toContain('staging');
    await mount.unmount();
  });

  test('of a manifest that names no key: with the wrong one nothing is cloned, with the right one it is copied', { timeout: 100_000 }, async () => {
    const strip = ({ unprotected: { keyFingerprint: _, ...unprotected }, ...manifest }: Manifest): Manifest => ({ ...manifest, unprotected, signature: undefined });
    const store = emptyStore();
    for (const [id, file] of [['wrong', otherKeyFile], ['right', keyFile]] as const) {
      expect(await pbsfs(['backup', '--store', store, '--id', id, '--time', times[0], '--keyfile', file, `disk.img:${image}`])).toMatchObject({ status: 0 });
      changeManifest(join(store, 'host', id, times[0]), strip);
    }
    const mount = await mountToStage({ store, args: ['--keyfile', keyFile] });
    const [wrong, right] = [join(mount.mountPoint, 'host/wrong'), join(mount.mountPoint, 'host/right')];
    expect((await stage(mount, [], 'host/wrong')).status).not.toBe(0);
    expect(readdirSync(wrong)).not.toContain('staging');
    const staging = beginStaging(mount, 'host/wrong');
    expect(() => execFileSync('cp', [join(wrong, 'latest/disk.img'), join(staging, 'disk.img')], { stdio: 'pipe' })).toThrow(/Input\/output error/);
    expect(await stage(mount, [], 'host/right')).toMatchObject({ status: 0, stderr: '' });
    execFileSync('cp', [join(right, 'latest/disk.img'), join(right, 'staging/copy.img')]);
    expect(await commit(right)).toMatchObject({ status: 0, stderr: '' });
    for (const name of ['disk.img', 'copy.img']) execFileSync('cmp', [image, join(right, 'latest', name)]);
    await mount.unmount();
  });

  test('immutable files and directories, and what is reserved', { timeout: 100_000 }, async () => {
    const sealed = join(scratchDirectory(), 'sealed');
    mkdirSync(join(sealed, 'directory'), { recursive: true });
    writeFileSync(join(sealed, 'directory/file'), 'content');
    writeFileSync(join(sealed, 'marked'), 'marked');
    execFileSync('setfattr', ['-n', 'user.pbsfs.clone', '-v', '0123456789abcdef 1', join(sealed, 'marked')]);
    execFileSync('chattr', ['+i', join(sealed, 'directory/file'), join(sealed, 'directory')]);
    const store = emptyStore();
    const made = await pbsfs(['backup', '--store', store, '--id', 'web1', '--time', times[0], `tree.pxar:${sealed}`]);
    execFileSync('chattr', ['-R', '-i', sealed]);
    expect(made).toMatchObject({ status: 0 });
    const mount = await mountToStage({ store });
    const at = join(mount.mountPoint, group);
    const staged = await stage(mount);
    expect(staged.status).toBe(9);
    expect(eventsOf(staged).filter(({ event }) => event === 'warning').map(({ message }) => message)).toEqual([expect.stringMatching(/marked.*user\.pbsfs\.clone is reserved/) as string]);
    expect(readFileSync(join(at, 'staging/tree.pxar/marked'), 'utf8')).toBe('marked');
    expect(execFileSync('lsattr', ['-d', join(at, 'staging/tree.pxar/directory')], { encoding: 'utf8' }).split(' ')[0]).toContain('i');
    expect(await commit(at)).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(join(at, 'latest/tree.pxar/directory/file'), 'utf8')).toBe('content');
    expect(execFileSync('lsattr', ['-d', join(at, 'latest/tree.pxar/directory')], { encoding: 'utf8' }).split(' ')[0]).toContain('i');
    await mount.unmount();
  });
});
