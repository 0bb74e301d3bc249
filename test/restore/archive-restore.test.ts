import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { SnapshotContent } from '../../src/archive/snapshot-contents.js';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { parsePattern } from '../../src/format/match-pattern.js';
import { restoreArchive } from '../../src/restore/archive-restore.js';
import type { RestoreOptions } from '../../src/restore/restore-options.js';
import { archiveOf, fifo, metadata, type MadeArchive } from '../support/archives.js';
import { mountedFileSystem } from '../support/file-systems.js';
import { addDirectory, addFile, addSymlink, madeSnapshot, madeStore, writtenArchive } from '../support/made-stores.js';
import { noise } from '../support/random.js';
import { everything, openedStore, restored, type OpenedStore, type Restored } from '../support/restored.js';
import { scratchDirectory } from '../support/scratch.js';
import { segments } from '../support/perl.js';

type Archive = Pick<MadeArchive, 'meta' | 'payload'>;
const overwrite = { replace: new Set(['files', 'symlinks', 'hardlinks', 'nodes'] as const), allowExistingDirectories: true };
const newPlace = (): string => join(scratchDirectory(), 'target');
const patterns = (...texts: string[]): Partial<RestoreOptions> => ({ patterns: texts.map((text) => parsePattern(Buffer.from(text), 'include')) });
const failing = (code: string): Error => expect.objectContaining({ code }) as Error;

async function opened(archive: Archive, cuts?: readonly number[]): Promise<OpenedStore & { directory: string }> {
  const directory = madeStore({ archives: { a: archive }, ...(cuts && { cuts }) });
  const store = await openedStore(directory);
  onTestFinished(() => store.close());
  return { ...store, directory };
}

async function restoredTo(target: string, archive: Archive, options: Partial<RestoreOptions> = {}): Promise<Restored> {
  return await restored(await opened(archive), madeSnapshot, 'a.pxar', target, options);
}

/** Paths below `root`; of files with content, of links with target. */
function treeOf(root: string): Record<string, string> {
  // Node's own recursion follows links.
  const names = execFileSync('find', [root, '-mindepth', '1', '-printf', '%P\\n'], { encoding: 'utf8' }).split('\n').filter((name) => name !== '').sort();
  return Object.fromEntries(names.map((name) => {
    const stat = lstatSync(join(root, name));
    return [name, stat.isFile() ? readFileSync(join(root, name), 'utf8') : stat.isSymbolicLink() ? `-> ${readlinkSync(join(root, name))}` : stat.isDirectory() ? '/' : 'special'];
  }));
}

describe.each([1, 2] as const)('version %i', (version) => {
  const sketch = { a: { b: { 'x.conf': 'x', 'y.txt': 'y' }, empty: {}, z: 'z' }, big: noise('big', 3 << 20), c: 'c', fifo, l: { linkTo: 'c' }, l2: { linkTo: 'c' }, s: { to: 'c' } };

  test('everything', async () => {
    const target = newPlace();
    const { result, warnings, failures } = await restoredTo(target, archiveOf(sketch, version));
    expect({ warnings, failures }).toEqual({ warnings: [], failures: [] });
    expect(result).toMatchObject({ files: 5, directories: 3, others: 4, bytes: (3 << 20) + 4 });
    expect(readFileSync(join(target, 'big')).equals(sketch.big)).toBe(true);
    expect(statSync(join(target, 'c')).nlink).toBe(3);
    expect(lstatSync(target)).toMatchObject({ uid: 1000, gid: 1000, mtimeMs: 1_600_000_000_123.4568 });
  });

  test.each([
    { texts: ['/a/**'], found: ['a', 'a/b', 'a/b/x.conf', 'a/b/y.txt', 'a/empty', 'a/z'] },
    { texts: ['/a'], found: ['a', 'a/b', 'a/b/x.conf', 'a/b/y.txt', 'a/empty', 'a/z'] },
    { texts: ['*.conf'], found: ['a', 'a/b', 'a/b/x.conf'] },
    { texts: ['/a', '!/a/b'], found: ['a', 'a/empty', 'a/z'] },
    { texts: ['/a', '!*.txt'], found: ['a', 'a/b', 'a/b/x.conf', 'a/empty', 'a/z'] },
    { texts: ['/s', 'fifo'], found: ['fifo', 's'] },
    { texts: ['/l*'], found: ['l', 'l2'] },
  ])('patterns $texts', async ({ texts, found }) => {
    const target = newPlace();
    const { failures } = await restoredTo(target, archiveOf(sketch, version), patterns(...texts));
    expect(failures).toEqual([]);
    // A directory that is selected only by itself is made when something in it is.
    expect(Object.keys(treeOf(target)).filter((name) => name !== 'a/empty')).toEqual(found.filter((name) => name !== 'a/empty'));
    if (found.includes('l')) {
      expect(readFileSync(join(target, 'l'), 'utf8')).toBe('c');
      expect(statSync(join(target, 'l')).ino).toBe(statSync(join(target, 'l2')).ino);
      expect(statSync(join(target, 'l'))).toMatchObject({ nlink: 2, uid: 1000 });
    }
    expect(lstatSync(target).uid).toBe(0);
  });

  test('patterns that fit nothing', async () => {
    await expect(restoredTo(newPlace(), archiveOf(sketch, version), patterns('/nothing'))).rejects.toThrow(failing('NOT_FOUND'));
  });
});

test('holes', async () => {
  const content = Buffer.concat([Buffer.alloc(1 << 20), noise('data', 5000), Buffer.alloc(1 << 20)]);
  const target = newPlace();
  await restoredTo(target, archiveOf({ f: content, zero: Buffer.alloc(10_000), odd: Buffer.concat([Buffer.alloc(4096), Buffer.from('x')]) }));
  expect(readFileSync(join(target, 'f')).equals(content)).toBe(true);
  expect(readFileSync(join(target, 'zero')).equals(Buffer.alloc(10_000))).toBe(true);
  expect(segments(join(target, 'f'))).toEqual([[1 << 20, (1 << 20) + 8192]]);
  expect(segments(join(target, 'zero'))).toEqual([]);
  expect(segments(join(target, 'odd'))).toEqual([[4096, 4097]]);
});

describe('nothing leads out of the target', () => {
  const place = (): { outside: string; target: string } => {
    const directory = scratchDirectory();
    mkdirSync(join(directory, 'outside'));
    writeFileSync(join(directory, 'outside/secret'), 'secret');
    return { outside: join(directory, 'outside'), target: join(directory, 'target') };
  };

  test.each([['a symbolic link of the archive, then a directory of its name', {}], ['the same with --overwrite', overwrite]])('%s', async (_, options) => {
    const { outside, target } = place();
    const archive = writtenArchive((writer) => {
      addSymlink(writer, 'd', outside);
      addDirectory(writer, 'd', () => addFile(writer, 'secret', 'overwritten'));
      addFile(writer, 'z', 'z');
    });
    const { failures } = await restoredTo(target, archive, options);
    expect(failures).toHaveLength(1);
    expect(treeOf(outside)).toEqual({ secret: 'secret' });
    expect(treeOf(target)).toEqual({ d: `-> ${outside}`, z: 'z' });
  });

  test('a symbolic link of the archive, then a file of its name', async () => {
    const { outside, target } = place();
    const archive = writtenArchive((writer) => {
      addSymlink(writer, 'f', join(outside, 'secret'));
      addFile(writer, 'f', 'overwritten');
    });
    expect((await restoredTo(target, archive)).failures).toEqual([expect.stringContaining('f: ')]);
    await restoredTo(target, archive, overwrite);
    expect(treeOf(outside)).toEqual({ secret: 'secret' });
    expect(treeOf(target)).toEqual({ f: 'overwritten' });
  });

  test('links that lie in the target already', async () => {
    const { outside, target } = place();
    mkdirSync(target);
    symlinkSync(outside, join(target, 'd'));
    symlinkSync(join(outside, 'secret'), join(target, 'f'));
    linkSync(join(outside, 'secret'), join(target, 'g'));
    const archive = archiveOf({ d: { secret: 'overwritten' }, f: 'new', g: 'new', h: { linkTo: 'f' } });
    const { failures } = await restoredTo(target, archive, overwrite);
    expect(failures).toEqual([expect.stringMatching(/^d: ENOTDIR/)]);
    expect(treeOf(outside)).toEqual({ secret: 'secret' });
    expect(treeOf(target)).toEqual({ d: `-> ${outside}`, f: 'new', g: 'new', h: 'new' });
  });

  test('a hard link through a symbolic link', async () => {
    const { outside, target } = place();
    const archive = writtenArchive((writer) => {
      const position = writer.metaPosition;
      addFile(writer, 'a', 'a');
      addSymlink(writer, 'd', outside);
      writer.addHardlink(Buffer.from('h'), position, Buffer.from('d/secret'));
    });
    const { failures } = await restoredTo(target, archive);
    expect(failures).toEqual([expect.stringMatching(/^h: (ENOTDIR|ELOOP)/)]);
    expect(statSync(join(outside, 'secret')).nlink).toBe(1);
  });

  test.each([
    ['d/secret', '../secret'],
    ['d/secret', 'd/../../x'],
    ['namename', '../../xy'],
    ['namename', '/etc/xyz'],
    ['namename', 'ab\0cdefg'],
  ])('%s patched to %s', async (from, to) => {
    const { outside, target } = place();
    const { meta } = writtenArchive((writer) => {
      const position = writer.metaPosition;
      addFile(writer, 'namename', 'a');
      writer.addHardlink(Buffer.from('h'), position, Buffer.from('d/secret'));
    });
    const bytes = Buffer.from(meta);
    const at = bytes.indexOf(from);
    expect(at).toBeGreaterThan(0);
    bytes.write(to.padEnd(from.length, 'x'), at, from.length, 'latin1');
    await expect(restoredTo(target, { meta: bytes, payload: undefined })).rejects.toThrow(/cannot be the name|zero byte/);
    expect(treeOf(outside)).toEqual({ secret: 'secret' });
  });
});

describe('a target that is there', () => {
  const archive = archiveOf({ d: { f: 'new' }, f: 'new', s: { to: 'new' }, z: 'new' });
  const filled = (): string => {
    const target = scratchDirectory();
    mkdirSync(join(target, 'd'), { mode: 0o700 });
    writeFileSync(join(target, 'd/old'), 'old');
    writeFileSync(join(target, 'f'), 'old', { mode: 0o444 });
    linkSync(join(target, 'f'), join(target, 'd/other'));
    symlinkSync('old', join(target, 's'));
    return target;
  };

  test('is refused, untouched', async () => {
    const target = filled();
    const before = treeOf(target);
    await expect(restoredTo(target, archive)).rejects.toThrow(/not empty.*--allow-existing-dirs.*--overwrite/);
    expect(treeOf(target)).toEqual(before);
  });

  test('gets what it does not have', async () => {
    const target = filled();
    const { failures, result } = await restoredTo(target, archive, { allowExistingDirectories: true });
    expect(failures).toEqual(['f: it is there already', 's: it is there already']);
    expect(result.failures).toBe(2);
    expect(treeOf(target)).toEqual({ d: '/', 'd/f': 'new', 'd/old': 'old', 'd/other': 'old', f: 'old', s: '-> old', z: 'new' });
    expect(statSync(join(target, 'd')).mode & 0o777).toBe(0o755);
  });

  test('also a read-only file is replaced, other names of it are not', async () => {
    const target = filled();
    const { failures } = await restoredTo(target, archive, overwrite);
    expect(failures).toEqual([]);
    expect(treeOf(target)).toEqual({ d: '/', 'd/f': 'new', 'd/old': 'old', 'd/other': 'old', f: 'new', s: '-> new', z: 'new' });
  });

  test('a directory is never replaced', async () => {
    const target = filled();
    rmSync(join(target, 'f'));
    mkdirSync(join(target, 'f'));
    const { failures } = await restoredTo(target, archive, overwrite);
    expect(failures).toEqual([expect.stringMatching(/^f: E(ISDIR|PERM)/)]);
  });

  test('an empty directory, and a way to one that is not there', async () => {
    await restoredTo(scratchDirectory(), archive);
    const target = join(newPlace(), 'x/y');
    await restoredTo(target, archive);
    expect(existsSync(join(target, 'z'))).toBe(true);
  });
});

test('a file whose content is lost is left out, also its hard links; the others are restored', async () => {
  const lost = noise('lost', 2 << 20);
  const store = await opened(archiveOf({ a: 'a', f: lost, g: { linkTo: 'f' }, z: 'z' }, 2), [1 << 20]);
  // The second chunk of the payload lies within the file.
  const payload = archiveOf({ a: 'a', f: lost, g: { linkTo: 'f' }, z: 'z' }, 2).payload ?? expect.unreachable();
  rmSync(join(store.directory, chunkPath(chunkDigest(payload.subarray(1 << 20, 2 << 20), undefined))));
  const target = newPlace();
  const { failures, result } = await restored(store, madeSnapshot, 'a.pxar', target);
  expect(failures).toEqual([expect.stringMatching(/^f: chunk .* missing/), expect.stringMatching(/^g: f, which/)]);
  expect(result).toMatchObject({ files: 2, failures: 2 });
  expect(treeOf(target)).toEqual({ a: 'a', z: 'z' });
});

/** Descriptors come and go while they are looked at. */
function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}

test('directories in directories, deeper than descriptors are kept', async () => {
  const depth = 600;
  const archive = writtenArchive((writer) => {
    const descend = (level: number): void => addDirectory(writer, `d${level}`, () => {
      if (level < depth) descend(level + 1);
      addFile(writer, 'f', String(level));
    });
    descend(1);
    addFile(writer, 'z', 'z');
  });
  const target = newPlace();
  const held = (): string[] => readdirSync('/proc/self/fd').filter((fd) => targetOf(`/proc/self/fd/${fd}`).startsWith(target));
  const { failures, result } = await restoredTo(target, archive);
  expect(failures).toEqual([]);
  expect(result).toMatchObject({ files: depth + 1, directories: depth });
  expect(held()).toEqual([]);
  const found = execFileSync('find', [target, '-type', 'f', '-newermt', '2020-01-01', '!', '-newermt', '2021-01-01'], { encoding: 'utf8' });
  expect(found.trim().split('\n')).toHaveLength(depth + 1);
  const old = execFileSync('find', [target, '-type', 'd', '!', '-newermt', '2021-01-01'], { encoding: 'utf8' });
  expect(old.trim().split('\n')).toHaveLength(depth + 1);
});

test('a full file system ends the restore and leaves no half of a file', async () => {
  const target = join(mountedFileSystem('tmpfs', { megabytes: 2 }), 'x');
  await expect(restoredTo(target, archiveOf({ a: 'a', f: noise('f', 8 << 20), z: 'z' }))).rejects.toThrow(/^f: ENOSPC.*ends here/);
  expect(treeOf(target)).toEqual({ a: 'a' });
});

test('an interruption', async () => {
  const store = await opened(archiveOf({ a: 'a', f: noise('f', 8 << 20), z: 'z' }));
  const content = (await store.content(madeSnapshot, 'a.pxar')) as SnapshotContent;
  const controller = new AbortController();
  const observer = { warn: () => undefined, failed: () => undefined, progress: ({ bytes }: { bytes: number }) => void (bytes > 3 << 20 && controller.abort()) };
  const target = newPlace();
  const request = { context: store.context, state: await store.state(madeSnapshot), content, target: Buffer.from(target), options: everything, observer, signal: controller.signal };
  await expect(restoreArchive(request)).rejects.toThrow(failing('INTERRUPTED'));
  expect(Object.keys(treeOf(target))).toEqual(['a']);
});

describe('classes that are left out', () => {
  const acl = { users: [{ id: 5, permissions: 7 }], groups: [], groupObj: 5, default: undefined, defaultUsers: [], defaultGroups: [] };
  const fcaps = Buffer.from('0100000202000000000000000000000000000000', 'hex');
  const xattrs = [{ name: Buffer.from('user.x'), value: Buffer.from('1') }];
  const archive = writtenArchive((writer) => {
    addFile(writer, 'f', 'f', { mode: 0o106777, acl, fcaps, xattrs, flags: { hi: 0, lo: 0x10_0000 } });
    writer.addSpecial(Buffer.from('p'), { kind: 'fifo', metadata: metadata('fifo') });
    writer.addSpecial(Buffer.from('q'), { kind: 'device', metadata: metadata('characterDevice'), device: { major: 1, minor: 3 } });
    writer.addSpecial(Buffer.from('r'), { kind: 'socket', metadata: metadata('socket') });
  });
  let root: string | undefined;
  const seen = async (skip: RestoreOptions['skip']): Promise<string> => {
    root ??= mountedFileSystem('ext4', { megabytes: 16 });
    const target = join(root, String(Math.random()));
    const { failures, warnings } = await restoredTo(target, archive, { skip });
    expect({ failures, warnings }).toEqual({ failures: [], warnings: expect.arrayContaining([]) as string[] });
    const { mode, uid, mtimeMs } = lstatSync(join(target, 'f'));
    const attributes = execFileSync('getfattr', ['-m', '-', join(target, 'f')], { encoding: 'latin1' }).match(/^[a-z]+\..*$/gm) ?? [];
    const flags = execFileSync('lsattr', [join(target, 'f')], { encoding: 'utf8' }).split(' ')[0]?.includes('d') === true ? 'd' : '';
    return [(mode & 0o7777).toString(8), uid, mtimeMs === 1_600_000_000_123.4568 ? 'old' : 'now', ...attributes, flags, ...readdirSync(target)].join(' ');
  };

  test('none', async () => {
    expect(await seen(new Set())).toBe('6777 1000 old security.capability system.posix_acl_access user.x d f p q r');
  });
  test('owner: set-id bits go too', async () => {
    expect(await seen(new Set(['owner']))).toBe('777 0 old security.capability system.posix_acl_access user.x d f p q r');
  });
  test('permissions', async () => {
    expect(await seen(new Set(['permissions', 'acls']))).toBe('755 1000 old security.capability user.x d f p q r');
  });
  test('all attributes', async () => {
    expect(await seen(new Set(['xattrs', 'fcaps', 'acls', 'flags', 'times']))).toBe('6777 1000 now  f p q r');
  });
  test('nodes', async () => {
    expect(await seen(new Set(['devices', 'fifos', 'sockets']))).toMatch(/ d f$/);
  });
});

test('a file system without xattrs, ACLs and flags: one warning a class, the rest is restored', async () => {
  const acl = { users: [{ id: 5, permissions: 7 }], groups: [], groupObj: 5, default: undefined, defaultUsers: [], defaultGroups: [] };
  const archive = writtenArchive((writer) => {
    for (let i = 0; i < 20; i++) {
      addFile(writer, `f${String(i).padStart(2, '0')}`, 'f', { acl, xattrs: [{ name: Buffer.from('trusted.x'), value: Buffer.alloc(1) }, { name: Buffer.from('no.x'), value: Buffer.alloc(1) }], projectId: 7 });
    }
  });
  const target = join(mountedFileSystem('tmpfs', { megabytes: 4 }), 'x');
  const { warnings, failures, result } = await restoredTo(target, archive);
  expect(failures).toEqual([]);
  expect(result.files).toBe(20);
  expect(result.warnings).toBeGreaterThanOrEqual(40);
  expect(warnings.filter((line) => line.includes('extended attributes could not'))).toHaveLength(5);
  expect(warnings).toContainEqual('extended attributes: 20 times not restored');
  chmodSync(target, 0o755);
});
