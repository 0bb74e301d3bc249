import { beforeAll, describe, expect, test } from 'vitest';
import { linksMax, pathComponents, walkPath } from '../../src/vfs/path.js';
import { MemoryFileSystem, linkType } from '../support/memory-file-system.js';

const fileSystem = new MemoryFileSystem();
const inos: Record<string, number> = {};

beforeAll(() => {
  const root = fileSystem.root;
  const link = (parent: number, name: string, target: string): number => fileSystem.add(parent, name, linkType | 0o777, { target: Buffer.from(target) });
  inos.archive = fileSystem.directory(root, 'archive');
  inos.etc = fileSystem.directory(inos.archive, 'etc');
  inos.passwd = fileSystem.file(inos.etc, 'passwd', Buffer.from('root'));
  inos.outside = fileSystem.file(root, 'outside', Buffer.from('x'));
  inos.odd = fileSystem.file(root, Buffer.from([0xff, 0x0a]), Buffer.from('x'));
  inos.relative = link(inos.etc, 'relative', 'passwd');
  inos.absolute = link(inos.etc, 'absolute', '/etc/passwd');
  inos.up = link(inos.etc, 'up', '../../../outside');
  inos.directoryLink = link(inos.archive, 'config', 'etc/');
  inos.slashed = link(inos.etc, 'slashed', 'passwd/');
  inos.loop = link(inos.etc, 'loop', 'loop');
  let target = 'passwd';
  for (let i = 1; i <= linksMax + 1; i++) {
    link(inos.etc, `chain${i}`, target);
    target = `chain${i}`;
  }
});

async function walk(path: string | Buffer, options: { rootDepth?: number; followLast?: boolean } = {}): Promise<number> {
  const entry = await walkPath(fileSystem, Buffer.from(path), { followLast: true, ...options });
  return entry.attributes.ino;
}

test('names of a path', () => {
  expect(pathComponents(Buffer.from('//a/./b/..//')).map(String)).toEqual(['a', 'b', '..']);
  expect(pathComponents(Buffer.from(''))).toEqual([]);
});

describe('walking', () => {
  test.each([
    ['', 'root'],
    ['/', 'root'],
    ['archive', 'archive'],
    ['/archive//etc/./passwd', 'passwd'],
    ['archive/etc/', 'etc'],
    ['archive/etc/..', 'archive'],
    ['..', 'root'],
    ['../../archive', 'archive'],
    ['archive/etc/relative', 'passwd'],
    ['archive/config/passwd', 'passwd'],
    ['archive/config', 'etc'],
    ['archive/etc/up', 'outside'],
    [`archive/etc/chain${linksMax}`, 'passwd'],
  ])('%s', async (path, name) => {
    expect(await walk(path)).toBe(name === 'root' ? fileSystem.root : inos[name]);
  });

  test('names of any bytes', async () => {
    expect(await walk(Buffer.from([0xff, 0x0a]))).toBe(inos.odd);
  });

  test('a link at the end is followed only if asked for, or before a slash', async () => {
    expect(await walk('archive/etc/relative', { followLast: false })).toBe(inos.relative);
    expect(await walk('archive/config/', { followLast: false })).toBe(inos.etc);
    expect(await walk('archive/etc/loop', { followLast: false })).toBe(inos.loop);
  });
});

describe('with the archive as the root of links', () => {
  test('absolute links begin there, and .. ends there', async () => {
    expect(await walk('archive/etc/absolute', { rootDepth: 1 })).toBe(inos.passwd);
    await expect(walk('archive/etc/up', { rootDepth: 1 })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await walk('archive/../..', { rootDepth: 1 })).toBe(inos.archive);
    expect(await walk('archive', { rootDepth: 1 })).toBe(inos.archive);
  });

  test('without it they begin at the root of the tree', async () => {
    await expect(walk('archive/etc/absolute')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('what is refused', () => {
  test.each([
    ['archive/none', 'NOT_FOUND', "there is no 'none' in 'archive'"],
    ['none/x', 'NOT_FOUND', "there is no 'none' in the root of the tree"],
    ['archive/etc/passwd/x', 'NOT_A_DIRECTORY', /not a directory/],
    ['archive/etc/passwd/', 'NOT_A_DIRECTORY', /not a directory/],
    ['archive/etc/slashed', 'NOT_A_DIRECTORY', /not a directory/],
    ['archive/etc/loop', 'LIMIT_EXCEEDED', /links/],
    ['archive/etc/loop/x', 'LIMIT_EXCEEDED', /links/],
    [`archive/etc/chain${linksMax + 1}`, 'LIMIT_EXCEEDED', /links/],
    ['x/'.repeat(3000), 'LIMIT_EXCEEDED', /too long/],
  ])('%.30s', async (path, code, message) => {
    const error: unknown = await walk(path).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
