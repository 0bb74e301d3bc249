/** Both fixture stores onto real file systems, compared with their expected trees to the last attribute. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SnapshotContent } from '../../src/archive/snapshot-contents.js';
import { openByteTarget } from '../../src/restore/byte-target.js';
import { restoreImage } from '../../src/restore/image-restore.js';
import { writeTar } from '../../src/restore/tar-writer.js';
import { expectedFiles, type ExpectedEntry, type ExpectedImage } from '../support/expected.js';
import { differences, expectedInodeFlags, expectedXattrs, inodeFlagsBelow, xattrsBelow } from '../support/expected-tree.js';
import { canMake, mountedFileSystem } from '../support/file-systems.js';
import { expectedJson, expectedLines } from '../support/fixtures.js';
import { openedStore, restored, type OpenedStore } from '../support/restored.js';
import { segments } from '../support/perl.js';
import { placedStore, placedStores } from '../support/store-table.js';
import { fixtureKeys } from '../support/chunks.js';

/** Flags and project ids that only one file system has. */
const fileSystems = new Map([['odd-btrfs.pxar', 'btrfs'], ['odd-xfs.pxar', 'xfs']] as const);
const fileSystemOf = (name: string): 'btrfs' | 'xfs' | 'ext4' => (fileSystems as ReadonlyMap<string, 'btrfs' | 'xfs'>).get(name) ?? 'ext4';
/** FS_EXTENT_FL, FS_INLINE_DATA_FL and FS_INDEX_FL are the file system's own. */
const ownFlags = 0x1008_1000;
const options = { ext4: { megabytes: 400, options: ['-O', 'ea_inode', '-I', '512', '-b', '4096'] }, btrfs: { megabytes: 300 }, xfs: { megabytes: 400 } } as const;

describe.each(placedStores)('$store $place', (placed) => {
  const { store } = placed;
  let opened: OpenedStore;
  const roots = new Map<string, string>();
  const rootOf = (type: keyof typeof options): string => {
    const root = roots.get(type) ?? mountedFileSystem(type, options[type]);
    roots.set(type, root);
    return root;
  };

  beforeAll(async () => {
    opened = await openedStore(await placedStore(placed), store === 'vault' ? fixtureKeys() : []);
  });
  afterAll(async () => {
    await opened.close();
    // Immutable files would stay, and keep the mount point.
    for (const root of roots.values()) spawnSync('chattr', ['-R', '-f', '-i', '-a', root]);
  });

  const archives = expectedFiles(store, '.pxar.jsonl').filter((file) => {
    const name = file.slice(file.lastIndexOf('/') + 1, -'.jsonl'.length);
    return canMake(fileSystemOf(name));
  });

  test.each(archives)('%s', async (file) => {
    const path = file.replace(/\.jsonl$/, '');
    const name = path.slice(path.lastIndexOf('/') + 1);
    const target = join(rootOf(fileSystemOf(name)), createHash('sha256').update(file).digest('hex').slice(0, 8));
    const { result, warnings, failures } = await restored(opened, dirname(path), name, target);
    expect({ warnings, failures }).toEqual({ warnings: [], failures: [] });
    const expected = expectedLines<ExpectedEntry>(store, file);
    expect(differences(target, expected)).toEqual([]);
    expect(result.directories + 1 + result.files + result.others).toBe(expected.length);
    const xattrs = xattrsBelow(target);
    const flags = inodeFlagsBelow(target, expected);
    for (const line of expected) {
      const attributes = Object.fromEntries(Object.entries(xattrs.get(line.path) ?? {}).filter(([key]) => key !== 'btrfs.compression'));
      expect(attributes, line.name).toEqual(expectedXattrs(line));
      const found = flags.get(line.path)?.replace(/^\d+/, (text) => String(Number(text) & ~ownFlags));
      if (line.type === 'file' || line.type === 'dir') expect(found, line.name).toBe(expectedInodeFlags(line));
    }
  });

  test.each(archives)('%s through tar', async (file) => {
    const path = file.replace(/\.jsonl$/, '');
    const name = path.slice(path.lastIndexOf('/') + 1);
    const target = join(rootOf('ext4'), `tar-${createHash('sha256').update(file).digest('hex').slice(0, 8)}`);
    mkdirSync(target);
    const pieces: Buffer[] = [];
    const state = await opened.state(dirname(path));
    const content = (await opened.content(dirname(path), name)) as SnapshotContent;
    const lines: string[] = [];
    const observer = { progress: () => undefined, warn: (line: string) => void lines.push(line), failed: (line: string) => void lines.push(line) };
    const write = (bytes: Buffer): Promise<void> => Promise.resolve(void pieces.push(Buffer.from(bytes)));
    const result = await writeTar({ context: opened.context, state, content, patterns: [], write, observer });
    const args = ['-x', '-p', '--same-owner', '--numeric-owner', '--acls', '--xattrs', '--xattrs-include=*', '--warning=no-timestamp', '-C', target];
    execFileSync('tar', args, { input: Buffer.concat(pieces), env: { ...process.env, LC_ALL: 'C.UTF-8' }, stdio: ['pipe', 'inherit', 'inherit'] });
    expect(result.failures).toBe(0);
    const expected = expectedLines<ExpectedEntry>(store, file).filter(({ type }) => type !== 'socket');
    expect(differences(target, expected)).toEqual([]);
    const xattrs = xattrsBelow(target);
    for (const line of expected) expect(xattrs.get(line.path) ?? {}, line.name).toEqual(expectedXattrs(line));
  });

  test.each(expectedFiles(store, '.img.json'))('%s', async (file) => {
    const path = file.replace(/\.json$/, '');
    const name = path.slice(path.lastIndexOf('/') + 1);
    const expected = expectedJson(store, file) as ExpectedImage;
    const target = join(rootOf('ext4'), 'image');
    const state = await opened.state(dirname(path));
    const content = (await opened.content(dirname(path), name)) as SnapshotContent;
    const openTarget = (size: number): ReturnType<typeof openByteTarget> => openByteTarget({ path: target, size, overwrite: false });
    const size = await restoreImage({ context: opened.context, state, content, openTarget, observer: { progress: () => undefined } });
    expect(size).toBe(expected.size);
    expect(statSync(target).size).toBe(expected.size);
    expect(createHash('sha256').update(readFileSync(target)).digest('hex')).toBe(expected.sha256);
    const holes = segments(target);
    for (const chunk of expected.zero_chunks) {
      const [start, end] = [chunk << 22, (chunk + 1) << 22];
      expect(holes.some(([from = 0, to = 0]) => from < end && to > start), `chunk ${chunk}`).toBe(false);
    }
    rmSync(target);
  });
});
