/** New datastores, on file systems of their own, as 65,536 directories take their time elsewhere. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { decodeBlob } from '../../src/codec/blob-decoder.js';
import { touchedNow } from '../../src/store/local/access-times.js';
import { initDatastore } from '../../src/store/local/init.js';
import { zstd } from '../support/chunks.js';
import { pbsfs, program, start } from '../support/command.js';
import { canLock, holdLock } from '../support/lock-holder.js';
import { begin, checkSnapshots, hostSnapshot, openStore, writeSnapshot } from '../support/new-snapshots.js';
import { Random, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

const quickPlaces: string[] = [];
afterAll(() => {
  for (const path of quickPlaces) rmSync(path, { recursive: true, force: true });
});

/** In memory. */
function quickDirectory(): string {
  const path = mkdtempSync('/dev/shm/pbsfs-init-');
  quickPlaces.push(path);
  return path;
}

const zeroDigest = 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8';
const warn = (line: string): void => {
  throw new Error(`a warning: ${line}`);
};
const backup = execFileSync('id', ['-u', 'backup'], { encoding: 'utf8' }).trim();

/** Throws unless a server would adopt what is there. */
function checkAdoptable(directory: string, { uid, gid }: { uid: number; gid: number }): void {
  const look = (name: string): unknown => {
    const facts = statSync(join(directory, name));
    return [facts.isDirectory(), (facts.mode & 0o7777).toString(8), facts.uid, facts.gid];
  };
  expect(look('.')).toEqual([true, '755', uid, gid]);
  expect(look('.lock')).toEqual([false, '644', uid, gid]);
  expect(look('.chunks')).toEqual([true, '750', uid, gid]);
  expect(statSync(join(directory, '.lock')).size).toBe(0);
  expect(readdirSync(directory).filter((name) => name !== 'lost+found').sort()).toEqual(['.chunks', '.lock']);
  const names = readdirSync(join(directory, '.chunks'));
  expect(names).toHaveLength(65_536);
  expect(names.every((name) => /^[0-9a-f]{4}$/.test(name))).toBe(true);
  const strange = names.filter((name) => JSON.stringify(look(`.chunks/${name}`)) !== JSON.stringify([true, '750', uid, gid]));
  expect(strange).toEqual([]);
  const files = readdirSync(join(directory, '.chunks'), { recursive: true, encoding: 'utf8' }).filter((name) => name.length > 4);
  expect(files).toEqual([`bb9f/${zeroDigest}`]);
  expect(look(`.chunks/bb9f/${zeroDigest}`)).toEqual([false, '644', uid, gid]);
  expect(decodeBlob(readFileSync(join(directory, '.chunks/bb9f', zeroDigest)), zstd, undefined).equals(Buffer.alloc(4 << 20))).toBe(true);
}

function replaceByFile(directory: string): void {
  rmSync(directory, { recursive: true });
  writeFileSync(directory, '');
}

describe('init', () => {
  test('makes a store and what is above it, whatever the umask is; it can be written then, and not be made again', async () => {
    const directory = join(quickDirectory(), 'a/b/store');
    const before = process.umask(0o77);
    try {
      const owner = { uid: 4242, gid: 4343 };
      expect(await initDatastore(directory, { warn, owner })).toEqual({ location: directory, owner });
    } finally {
      process.umask(before);
    }
    checkAdoptable(directory, { uid: 4242, gid: 4343 });
    const store = await openStore(directory);
    await writeSnapshot(await begin(store, hostSnapshot(1_700_000_000)));
    expect(await checkSnapshots(store)).toBe(1);
    await expect(initDatastore(directory, { warn })).rejects.toMatchObject({
      code: 'EXISTS',
      message: expect.stringContaining('is a datastore already') as string,
    });
    await expect(initDatastore(join(directory, 'host/x'), { warn })).rejects.toMatchObject({
      code: 'EXISTS',
      message: expect.stringContaining('lies in the datastore') as string,
    });
    expect(existsSync(join(directory, 'host/x'))).toBe(false);
  });

  test('by the command: of user backup, in an empty directory behind a link, with any mode', async () => {
    const place = quickDirectory();
    const directory = join(place, 'real');
    mkdirSync(join(directory, 'lost+found'), { recursive: true });
    chmodSync(directory, 0o2700);
    symlinkSync(directory, join(place, 'link'));
    const { status, stdout, stderr } = await pbsfs(['init', '--json', join(place, 'link')]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const { uid, gid } = JSON.parse(stdout) as { uid: number; gid: number };
    expect(JSON.parse(stdout)).toEqual({ location: directory, uid, gid });
    expect(String(uid)).toBe(backup);
    checkAdoptable(directory, { uid, gid });
    expect((await pbsfs(['init', directory])).status).toBe(8);
  });

  test(`killed at any time, it is no store, and the next one completes it (seed ${seed})`, { timeout: 120_000 }, async () => {
    const directory = join(quickDirectory(), 'store');
    const random = new Random(seed);
    let halfMade = 0;
    for (let n = 0; n < 8; n++) {
      const child = start(process.execPath, [program, 'init', directory]);
      await setTimeout(100 + n * 120 + random.below(100));
      child.child.kill('SIGKILL');
      await child.exited;
      if (existsSync(join(directory, '.chunks'))) break;
      if (existsSync(join(directory, '.pbsfs-init'))) halfMade++;
      if (existsSync(directory)) await expect(openStore(directory)).rejects.toMatchObject({ code: 'NOT_A_DATASTORE' });
    }
    expect(halfMade).toBeGreaterThan(2);
    if (!existsSync(join(directory, '.chunks'))) {
      const lines: string[] = [];
      await initDatastore(directory, { warn: (line) => lines.push(line) });
      expect(lines).toEqual([expect.stringContaining('completing what an interrupted init left')]);
    }
    checkAdoptable(directory, { uid: Number(backup), gid: statSync(directory).gid });
  });

  test('what an interrupted one of another user left gets its owner and modes', async () => {
    const directory = join(quickDirectory(), 'store');
    mkdirSync(join(directory, '.pbsfs-init/00ff'), { recursive: true });
    mkdirSync(join(directory, '.pbsfs-init/bb9f'));
    chownSync(join(directory, '.pbsfs-init/00ff'), 1, 1);
    chmodSync(join(directory, '.pbsfs-init/00ff'), 0o777);
    await initDatastore(directory, { warn: () => undefined, owner: { uid: 7, gid: 8 } });
    checkAdoptable(directory, { uid: 7, gid: 8 });
  });

  test('as an ordinary user: theirs', () => {
    const place = quickDirectory();
    chownSync(place, 65534, 65534);
    const as = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, program];
    execFileSync('setpriv', [...as, 'init', join(place, 'store')]);
    checkAdoptable(join(place, 'store'), { uid: 65534, gid: 65534 });
    const closed = quickDirectory();
    expect(() => execFileSync('setpriv', [...as, 'init', join(closed, 'store')], { stdio: 'pipe' })).toThrow(/cannot be made a datastore by you/);
  });

  test.each([
    ['something in it', (path: string) => { writeFileSync(join(path, 'x'), ''); }, 'EXISTS', /has 'x'/],
    ['chunks in it', (path: string) => { mkdirSync(join(path, '.chunks')); }, 'EXISTS', /is a datastore already/],
    ['a file in its place', replaceByFile, 'NOT_A_DIRECTORY', /is not a directory/],
    ['a file above it', (path: string) => { replaceByFile(dirname(path)); }, 'NOT_A_DIRECTORY', /is not a directory/],
  ])('refused: %s', async (_, prepare, code, message) => {
    const directory = join(scratchDirectory(), 'above/store');
    mkdirSync(directory, { recursive: true });
    prepare(directory);
    await expect(initDatastore(directory, { warn })).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(existsSync(join(directory, '.lock'))).toBe(false);
  });

  test('refused: a hidden name, also after a slash', async () => {
    const place = scratchDirectory();
    await expect(initDatastore(join(place, '.store/'), { warn })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('begins with a dot') as string,
    });
    expect(readdirSync(place)).toEqual([]);
  });

  test('refused: while another one works', async () => {
    const directory = scratchDirectory();
    const release = await holdLock('whole', 'exclusive', directory);
    await expect(initDatastore(directory, { warn })).rejects.toMatchObject({ code: 'LOCKED' });
    await release();
    expect(canLock('whole', 'exclusive', directory)).toBe(true);
    expect(readdirSync(directory)).toEqual([]);
  });
});

test('where touching a file makes it no younger it is refused, and nothing is left', async () => {
  const directory = join(quickDirectory(), 'store');
  const file = join(directory, '.pbsfs-init/bb9f', zeroDigest);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, '');
  expect(Math.abs(((await touchedNow(file)) ?? 0) - Date.now() / 1000)).toBeLessThan(10);
  // Stands in for a file system that keeps no access times.
  utimesSync(file, 4_000_000_000, 1000);
  expect(await touchedNow(file)).toBeUndefined();
  utimesSync(file, 4_000_000_000, 1000);
  await expect(initDatastore(directory, { warn: () => undefined })).rejects.toMatchObject({
    code: 'NOT_SUPPORTED',
    message: expect.stringContaining('access times') as string,
  });
  expect(readdirSync(directory)).toEqual([]);
});
