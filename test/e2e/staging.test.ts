/** Snapshots made with cp, rsync, dd and mv, as the mount shows them afterwards. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { describeTree } from '../support/archived-trees.js';
import { pbsfs } from '../support/command.js';
import { keyPath } from '../support/fixtures.js';
import { canMount } from '../support/mounted-everything.js';
import { makeOddTree } from '../support/odd-trees.js';
import { Random, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { beginStaging, commit, eventsOf, mountToStage, rsyncDifferences, type StagedMount } from '../support/staged-mount.js';
import { places } from '../support/store-table.js';

const times = ['2026-11-21T19:00:00Z', '2026-11-22T19:00:00Z', '2026-11-23T19:00:00Z'] as const;
const directory = scratchDirectory();
const source = join(directory, 'source');
const image = join(directory, 'disk');
const keyFile = join(directory, 'key.json');

interface Manifest {
  readonly files: readonly { readonly filename: string; readonly 'crypt-mode': string }[];
  readonly signature?: string | null;
  readonly unprotected: { readonly notes?: string; readonly 'key-fingerprint'?: string };
}

function manifestAt(snapshot: string): Manifest {
  return JSON.parse(readFileSync(join(snapshot, 'index.json'), 'utf8')) as Manifest;
}

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** A directory, an image and a small file, as the issue has them. */
function stage(staging: string): void {
  execFileSync('cp', ['-a', source, join(staging, 'etc.pxar')]);
  execFileSync('dd', [`if=${image}`, `of=${join(staging, 'data.img')}`, 'bs=4M', 'status=none']);
  writeFileSync(join(staging, 'notes.conf'), 'some notes\n');
}

/** Without flags, and without the attributes of the root, where the mount shows facts. */
function contentsOf(root: string): object {
  const entries = [...describeTree(root)].map(([path, { flags: _, ...facts }]) => [path, path === '' ? { ...facts, xattrs: {} } : facts] as const);
  return Object.fromEntries(entries);
}

async function expectStaged(snapshot: string): Promise<void> {
  expect(await rsyncDifferences(source, join(snapshot, 'etc.pxar'))).toEqual([]);
  expect(sha256(join(snapshot, 'data.img'))).toBe(sha256(image));
  expect(readFileSync(join(snapshot, 'notes.conf'), 'utf8')).toBe('some notes\n');
}

/** What is in the spool, of any group. */
function spooled({ spool }: StagedMount): string[] {
  return readdirSync(spool).flatMap((name) => readdirSync(join(spool, name, 'groups')));
}

beforeAll(() => {
  writeFileSync(keyFile, readFileSync(keyPath('plain.json')), { mode: 0o600 });
  mkdirSync(source);
  makeOddTree(source, new Random(seed), { entries: 300 });
  // What no archive has a place for: other attributes of the system, and ACLs of what is no file or directory.
  const script = `cd "$1"; printf x > capable; setcap cap_net_raw+ep capable; ln capable linked; mkfifo fifo; setfacl -b fifo
    find . ! -type l -exec setfattr -x security.other {} + 2> /dev/null || true`;
  execFileSync('sh', ['-euc', script, 'sh', source]);
  writeFileSync(image, randomBytes(9 << 20));
  truncateSync(image, (21 << 20) + 512);
});

describe.skipIf(!canMount).each(places)(`a snapshot %s, seed ${seed}`, (storeAt) => {
  /** What is only about the spool. */
  const once = test.skipIf(storeAt === 'on a server');

  test('is what was copied, and a mv has made it', async () => {
    const mount = await mountToStage({ storeAt });
    const group = join(mount.mountPoint, 'host/web1');
    const staging = beginStaging(mount, 'host/web1');
    stage(staging);
    // No program copies flags.
    execFileSync('chattr', ['+dA', join(staging, 'etc.pxar/capable')]);
    expect(readdirSync(group)).toEqual(['staging']);
    expect(readdirSync(staging).sort()).toEqual(['data.img', 'etc.pxar', 'notes.conf']);
    expect(await rsyncDifferences(source, join(staging, 'etc.pxar'))).toEqual([]);
    execFileSync('mv', [staging, join(group, times[0])]);
    expect(readdirSync(group).sort()).toEqual([times[0], 'latest']);
    await expectStaged(join(group, 'latest'));
    const [made, original] = [contentsOf(join(group, times[0], 'etc.pxar')), contentsOf(source)];
    expect(made).toEqual(original);
    expect(execFileSync('lsattr', [join(group, times[0], 'etc.pxar/capable')], { encoding: 'utf8' })).toMatch(/^-*d-*A-* /);
    await mount.unmount();
    // For everybody: a plain mount, the command, and nothing in the spool.
    expect((await pbsfs(['snapshots', '--json', mount.store])).stdout).toContain('"finished":true');
    await mount.again();
    await expectStaged(join(group, times[0]));
    expect(spooled(mount)).toEqual([]);
    await mount.unmount();
  });

  test('by pbsfs commit has its time and notes, and tells what was done', async () => {
    const mount = await mountToStage({ storeAt });
    const group = join(mount.mountPoint, 'host/web1');
    stage(beginStaging(mount, 'host/web1'));
    const done = await commit(group, ['--time', times[1], '--notes', 'first line\nsecond']);
    expect(done).toMatchObject({ status: 0, stderr: '' });
    const events = eventsOf(done);
    expect(events.at(-1)).toEqual({ event: 'finished', snapshot: `host/web1/${times[1]}`, warnings: 0 });
    expect(events.filter(({ event }) => event === 'archive').map(({ name }) => name)).toEqual(['data.img', 'etc.pxar', 'notes.conf']);
    expect(readdirSync(group).sort()).toEqual([times[1], 'latest']);
    expect(manifestAt(join(group, 'latest')).unprotected.notes).toBe('first line\nsecond');
    await expectStaged(join(group, 'latest'));
    await mount.unmount();
  });

  once('of many parts is told of part by part', async () => {
    const mount = await mountToStage({ storeAt });
    const staging = beginStaging(mount, 'host/web1');
    const names = Array.from({ length: 500 }, (_, n) => `part${'x'.repeat(150)}-${String(n).padStart(3, '0')}.conf`);
    for (const name of names) writeFileSync(join(staging, name), name);
    const done = await commit(join(mount.mountPoint, 'host/web1/staging'));
    expect(done).toMatchObject({ status: 0, stderr: '' });
    expect(eventsOf(done).filter(({ event }) => event === 'archive').map(({ name }) => name)).toEqual(names);
    expect(eventsOf(done).filter(({ event }) => event === 'finished')).toHaveLength(1);
    await mount.unmount();
  });

  once('of a tree that is deeper than any path, and its spool is emptied', async () => {
    const mount = await mountToStage({ storeAt });
    const archive = join(beginStaging(mount, 'host/web1'), 'x.pxar');
    mkdirSync(archive);
    const down = 'chdir $ARGV[0]; for (1..3000) { $ARGV[1] and (mkdir "directory" or die $!); chdir "directory" or die "$_: $!" }';
    execFileSync('perl', ['-e', `${down}; open F, ">leaf" or die; print F "deep"`, archive, '1']);
    renameSync(join(archive, '..'), join(mount.mountPoint, 'host/web1', times[0]));
    const leaf = execFileSync('perl', ['-e', `${down}; open F, "leaf" or die; print <F>`, join(mount.mountPoint, 'host/web1', times[0], 'x.pxar'), '']);
    expect(leaf.toString()).toBe('deep');
    await expect.poll(() => spooled(mount)).toEqual([]);
    expect(mount.logged()).not.toMatch(/can't be removed|is not removed/);
    await mount.unmount();
  });

  once('called now is made now, by a program and by a library call', async () => {
    const mount = await mountToStage({ storeAt });
    const group = join(mount.mountPoint, 'vm/100');
    writeFileSync(join(beginStaging(mount, 'vm/100'), 'qemu-server.conf'), 'cores: 2\n');
    const before = Math.floor(Date.now() / 1000);
    renameSync(join(group, 'staging'), join(group, 'now'));
    const names = readdirSync(group).filter((name) => name !== 'latest');
    expect(names).toHaveLength(1);
    expect(Date.parse(names[0] ?? '') / 1000 - before).toBeLessThan(20);
    expect(() => statSync(join(group, 'now'))).toThrow('ENOENT');
    expect(() => statSync(join(group, 'staging'))).toThrow('ENOENT');
    expect(readFileSync(join(group, 'latest/qemu-server.conf'), 'utf8')).toBe('cores: 2\n');
    await mount.unmount();
  });

  test.each([
    ['encrypted with the first key', ['--keyfile', keyFile], 'encrypt'],
    ['signed only', ['--keyfile', keyFile, '--crypt-mode', 'sign-only'], 'sign-only'],
    ['not encrypted though there is a key', ['--keyfile', keyFile, '--crypt-mode', 'none'], 'none'],
  ])('is %s', async (_, args, mode) => {
    const mount = await mountToStage({ storeAt, args });
    const group = join(mount.mountPoint, 'host/web1');
    stage(beginStaging(mount, 'host/web1'));
    renameSync(join(group, 'staging'), join(group, times[0]));
    const { files, signature, unprotected } = manifestAt(join(group, times[0]));
    expect(new Set(files.map((file) => file['crypt-mode']))).toEqual(new Set([mode]));
    expect(typeof signature === 'string').toBe(mode !== 'none');
    expect(unprotected['key-fingerprint'] !== undefined).toBe(mode !== 'none');
    await expectStaged(join(group, 'latest'));
    await mount.unmount();
    const plain = await pbsfs(['cat', mount.store, `host/web1/${times[0]}/data.img`]);
    expect(plain.status).toBe(mode === 'encrypt' ? 4 : 0);
  });

  test.each([
    ['legacy', ['etc.pxar.didx']],
    ['data', ['etc.mpxar.didx', 'etc.ppxar.didx']],
    ['metadata', ['etc.mpxar.didx', 'etc.ppxar.didx']],
  ])('in mode %s', async (mode, expected) => {
    const mount = await mountToStage({ storeAt, args: ['--mode', mode] });
    const group = join(mount.mountPoint, 'host/web1');
    stage(beginStaging(mount, 'host/web1'));
    renameSync(join(group, 'staging'), join(group, times[0]));
    expect(manifestAt(join(group, times[0])).files.map(({ filename }) => filename)).toEqual(expect.arrayContaining(expected));
    await expectStaged(join(group, times[0]));
    await mount.unmount();
  });

  test('of an unchanged tree adds no payload to a split archive that there is', async () => {
    const mount: StagedMount = await mountToStage({ storeAt, args: ['--mode', 'data'] });
    const group = join(mount.mountPoint, 'host/web1');
    const plain = mkdtempSync(join(directory, 'plain-'));
    for (let n = 0; n < 20; n++) writeFileSync(join(plain, `file${n}`), randomBytes(300_000));
    const put = (): void => void execFileSync('cp', ['-a', plain, join(beginStaging(mount, 'host/web1'), 'etc.pxar')]);
    put();
    renameSync(join(group, 'staging'), join(group, times[0]));
    await mount.unmount();
    await mount.again([]);
    put();
    const done = await commit(group, ['--time', times[1]]);
    const archive = eventsOf(done).find(({ event }) => event === 'archive');
    expect(archive?.bytesReused).toBeGreaterThan(20 * 300_000);
    expect(manifestAt(join(group, times[1])).files.map(({ filename }) => filename)).toContain('etc.ppxar.didx');
    expect(await rsyncDifferences(plain, join(group, times[1], 'etc.pxar'))).toEqual([]);
    await mount.unmount();
    rmSync(plain, { recursive: true });
  });
});
