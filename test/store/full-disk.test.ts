/** File systems that end: full, read-only, too few files. What was stored stays, what was begun goes. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { chunksOf } from '../support/chunks.js';
import { begin, checkSnapshots, emptyStore, hostSnapshot, manifest, openStore, put, storeNames, writeSnapshot } from '../support/new-snapshots.js';
import { noise } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

const time = 1_700_000_000;
const mounted: string[] = [];
afterEach(() => {
  for (const path of mounted.splice(0)) execFileSync('umount', ['-l', path]);
});

/** A store on a file system of its own. */
function smallStore(kind: 'ext4' | 'tmpfs', megabytes: number, options = ''): string {
  const scratch = scratchDirectory();
  const place = join(scratch, 'disk');
  mkdirSync(place);
  if (kind === 'tmpfs') {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=755${options}`, 'none', place]);
  } else {
    const image = join(scratch, 'image');
    writeFileSync(image, '');
    truncateSync(image, megabytes << 20);
    execFileSync('mkfs.ext4', ['-q', '-m', '0', '-N', '2048', image]);
    execFileSync('mount', ['-o', 'loop', image, place]);
  }
  mounted.push(place);
  return emptyStore(join(place, 'store'));
}

describe.each(['ext4', 'tmpfs'] as const)('a full disk (%s)', (kind) => {
  test('refuses chunks; what was stored stays, and fits after something was removed', async () => {
    const directory = smallStore(kind, 24);
    const store = await openStore(directory);
    await writeSnapshot(await begin(store, hostSnapshot(time)));
    const before = storeNames(directory);
    const session = await begin(store, hostSnapshot(time + 1));
    const results = await Promise.allSettled(Array.from({ length: 60 }, (_, i) => put(session, noise(`f${i}`, 1 << 20))));
    const failures = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason as { code?: string });
    expect(failures.length).toBeGreaterThan(10);
    expect(new Set(failures.map(({ code }) => code))).toEqual(new Set(['ENOSPC']));
    const stored = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.digest.toString('hex')] : []));
    expect(stored.length).toBeGreaterThan(5);
    await session.abort();
    expect(storeNames(directory)).toEqual(before);
    const kept = new Set(chunksOf(directory).map((digest) => digest.toString('hex')));
    expect(stored.every((digest) => kept.has(digest))).toBe(true);
    expect(await checkSnapshots(store)).toBe(1);
    for (const digest of stored.slice(0, 3)) rmSync(join(directory, '.chunks', digest.slice(0, 4), digest));
    await writeSnapshot(await begin(store, hostSnapshot(time + 1)), 'after');
    expect(await checkSnapshots(store)).toBe(2);
  });

  test('refuses the index, a blob, the manifest: none of it is seen', async () => {
    const directory = smallStore(kind, 24);
    const store = await openStore(directory);
    await writeSnapshot(await begin(store, hostSnapshot(time)));
    const before = storeNames(directory);
    const session = await begin(store, hostSnapshot(time + 1));
    await expect(session.openIndex('a.img.fidx').writeIndex(noise('index', 30 << 20))).rejects.toMatchObject({ code: 'ENOSPC' });
    await expect(session.writeBlob('a.conf.blob', noise('blob', 30 << 20))).rejects.toMatchObject({ code: 'ENOSPC' });
    await put(session, noise('x', 100_000));
    await expect(session.finish(noise('manifest', 30 << 20))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(storeNames(directory)).toEqual(before);
    expect(await checkSnapshots(store)).toBe(1);
  });
});

test('no room for another directory: nothing is begun', async () => {
  const directory = smallStore('tmpfs', 4, ',nr_inodes=64');
  const store = await openStore(directory);
  const before = storeNames(directory);
  const fill = join(directory, '..', 'fill');
  mkdirSync(fill);
  for (let n = 0; ; n++) {
    try {
      writeFileSync(join(fill, String(n)), '');
    } catch {
      break;
    }
  }
  for (let free = 0; free < 6; free++) {
    const whole = begin(store, hostSnapshot(time, `g${free}`)).then((session) => session.finish(manifest));
    await expect(whole, `${free} free`).rejects.toMatchObject({ code: 'ENOSPC' });
    // The directory of the type stays, as ever.
    expect(storeNames(directory).filter((name) => name !== 'host')).toEqual(before);
    rmSync(join(fill, String(free)));
    if (free === 4) break;
  }
  rmSync(fill, { recursive: true });
  await writeSnapshot(await begin(store, hostSnapshot(time)));
});

describe('read-only half-way', () => {
  /** What the kernel does where the disk fails. */
  const fail = (directory: string): void => void execFileSync('mount', ['-o', 'remount,abort', join(directory, '..')]);
  const repair = (directory: string): void => {
    const place = join(directory, '..');
    execFileSync('umount', [place]);
    // 1: errors were corrected.
    execFileSync('sh', ['-c', 'e2fsck -fy "$0" >/dev/null 2>&1; [ $? -le 1 ]', join(place, '../image')]);
    execFileSync('mount', ['-o', 'loop', join(place, '../image'), place]);
  };

  test('every step fails, nothing half is seen, the next backup cleans up', async () => {
    const directory = smallStore('ext4', 24);
    const store = await openStore(directory);
    await writeSnapshot(await begin(store, hostSnapshot(time)));
    const lines: string[] = [];
    const session = await begin(store, hostSnapshot(time + 1), { lines });
    await put(session, noise('before', 5000));
    await session.writeBlob('a.conf.blob', Buffer.from('1'));
    fail(directory);
    await expect(put(session, noise('after', 5000))).rejects.toMatchObject({ code: 'EROFS' });
    await expect(session.writeBlob('b.conf.blob', Buffer.from('1'))).rejects.toMatchObject({ code: 'EROFS' });
    await expect(session.finish(manifest)).rejects.toMatchObject({ code: 'EROFS' });
    expect(lines).toEqual([expect.stringContaining('the next backup of this group will')]);
    expect(await checkSnapshots(store)).toBe(1);
    await expect(begin(store, hostSnapshot(time + 2))).rejects.toMatchObject({ code: 'EROFS' });
    repair(directory);
    await writeSnapshot(await begin(store, hostSnapshot(time + 2)));
    expect(await checkSnapshots(store)).toBe(2);
    expect(readdirSync(join(directory, 'host/web')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('from the start: refused', async () => {
    const directory = smallStore('ext4', 24);
    execFileSync('mount', ['-o', 'remount,ro', join(directory, '..')]);
    await expect(begin(await openStore(directory), hostSnapshot(time))).rejects.toMatchObject({ code: 'EROFS' });
    expect(statSync(directory).isDirectory()).toBe(true);
    expect(readFileSync(join(directory, '.lock'))).toHaveLength(0);
  });
});
