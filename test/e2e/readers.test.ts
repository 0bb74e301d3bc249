/** Random reads of a mount beside the source, with little memory, and while the store changes. */
import { cpSync, existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import { pbsfs } from '../support/command.js';
import type { ExpectedEntry, ExpectedImage } from '../support/expected.js';
import { differences } from '../support/expected-tree.js';
import { sha256 } from '../support/file-system-reader.js';
import { expectedJson, expectedLines, storePath } from '../support/fixtures.js';
import { canMount } from '../support/mounted-everything.js';
import { daemonOf, mountAt, mountLines, mountPlace, type MountPlace } from '../support/mounted-store.js';
import { Random, seed } from '../support/random.js';
import { copyOfStore } from '../support/scratch.js';
import { locationOf, placedStore, places } from '../support/store-table.js';
import { bytesOf, newShelf, storedStream } from '../support/streams.js';

const operations = 4000;
const atOnce = 32;
const within = { timeout: 2000, interval: 50 };

/** Random positions and lengths; gives those that were wrong. */
async function randomReads(path: string, source: Buffer, from: number): Promise<string[]> {
  const numbers = new Random(from);
  const file = await open(path, 'r');
  const wrong: string[] = [];
  const reader = async (): Promise<void> => {
    for (let i = 0; i < operations / atOnce; i++) {
      const offset = numbers.below(source.length + 100_000);
      const length = 1 + numbers.below(numbers.pick([10, 4096, 70_000, 1_100_000]));
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
      const expected = source.subarray(Math.min(offset, source.length), offset + length);
      if (!buffer.subarray(0, bytesRead).equals(expected)) wrong.push(`${offset}+${length}: ${bytesRead} bytes`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, reader));
  await file.close();
  return wrong;
}

describe.skipIf(!canMount).each([
  { title: 'kernel driver, 256 MiB', args: [], storeAt: 'in a directory' },
  { title: 'kernel driver, 16 MiB', args: ['--cache-size', '16M'], storeAt: 'in a directory' },
  { title: 'kernel driver, 16 MiB, store on a server', args: ['--cache-size', '16M'], storeAt: 'on a server' },
  { title: 'fuse-native, 16 MiB', args: ['--driver', 'fuse-native', '--cache-size', '16M'], storeAt: 'in a directory' },
] as const)('$title', ({ args, storeAt }) => {
  let place: MountPlace;
  beforeAll(async () => {
    place = mountPlace();
    const mounted = await mountAt(place, await placedStore({ store: 'sample', place: storeAt }), args);
    expect(mounted.status, mounted.stderr).toBe(0);
  });
  afterAll(async () => {
    expect((await pbsfs(['umount', place.mountPoint])).status).toBe(0);
  });

  test(`${operations} random reads of an image, ${atOnce} at once (seed ${seed})`, async () => {
    const shelf = newShelf({ directory: storePath('sample') });
    const path = 'vm/120/2021-05-24T16:23:02Z/drive-scsi0.img';
    const source = await bytesOf(storedStream(shelf, `${path}.fidx`));
    expect(await randomReads(join(place.mountPoint, path), source, seed)).toEqual([]);
  });

  test(`random reads of a partition and of a file in an archive (seed ${seed})`, async () => {
    const shelf = newShelf({ directory: storePath('sample') });
    const path = 'vm/120/2021-05-24T16:23:02Z/drive-scsi0.img';
    const whole = await bytesOf(storedStream(shelf, `${path}.fidx`));
    const { partitions } = expectedJson('sample', `${path}.json`) as ExpectedImage;
    const { start, length } = partitions.find(({ number }) => number === 2) ?? { start: 0, length: 0 };
    const part = whole.subarray(start, start + length);
    expect(await randomReads(join(place.mountPoint, `${path}.parts/p2`), part, seed)).toEqual([]);
    const archive = 'ct/113/2021-05-24T16:41:32Z/root.pxar';
    const files = expectedLines<ExpectedEntry>('sample', `${archive}.jsonl`).filter(({ type }) => type === 'file');
    const largest = files.reduce((a, b) => ((b.size ?? 0) > (a.size ?? 0) ? b : a));
    const name = join(place.mountPoint, archive, Buffer.from(largest.path, 'base64').toString());
    const source = readFileSync(name);
    expect(sha256(source)).toBe(largest.sha256);
    expect(await randomReads(name, source, seed)).toEqual([]);
  });

  test('a whole archive beside it', () => {
    const file = 'ct/113/2021-05-28T03:10:07Z/root.pxar.jsonl';
    const expected = expectedLines<ExpectedEntry>('sample', file);
    expect(differences(join(place.mountPoint, file.replace(/\.jsonl$/, '')), expected.filter(({ type }) => type === 'file'), { nonUtf8Names: !args.some((arg) => arg === 'fuse-native'), nanoseconds: false, timesBefore1970: false, inode64: false, seekHoles: false, inodeFlags: false, xattrLarge: true, posixAclEnforced: false, invalidation: false, writing: false })).toEqual([]);
  });
});

describe.skipIf(!canMount)('while the store changes', () => {
  test('snapshots come and go within two seconds, and open files are read on', async () => {
    const store = copyOfStore('sample');
    const place = mountPlace();
    expect((await mountAt(place, store)).status).toBe(0);
    const group = join(place.mountPoint, 'vm/120');
    const added = '2021-05-25T00:00:00Z';
    const newest = '2021-05-24T16:23:02Z';
    const imagePath = join(group, newest, 'drive-scsi0.img');
    const whole = readFileSync(imagePath);
    expect(readlinkSync(join(group, 'latest'))).toBe(newest);
    expect(existsSync(join(group, added))).toBe(false);

    cpSync(join(store, 'vm/120', newest), join(store, 'vm/120', added), { recursive: true });
    await vi.waitFor(() => {
      expect(readdirSync(group)).toContain(added);
      expect(readlinkSync(join(group, 'latest'))).toBe(added);
      expect(lstatSync(join(group, added, 'drive-scsi0.img')).size).toBe(whole.length);
    }, within);

    const file = await open(join(group, added, 'drive-scsi0.img'), 'r');
    await file.read(Buffer.alloc(4096), 0, 4096, 0);
    rmSync(join(store, 'vm/120', added), { recursive: true });
    await vi.waitFor(() => {
      expect(readdirSync(group)).not.toContain(added);
      expect(existsSync(join(group, added))).toBe(false);
      expect(readlinkSync(join(group, 'latest'))).toBe(newest);
    }, within);
    const read = Buffer.alloc(whole.length);
    for (let offset = 0; offset < whole.length; ) offset += (await file.read(read, offset, 1 << 20, offset)).bytesRead;
    expect(read.equals(whole)).toBe(true);
    await file.close();
    expect((await pbsfs(['umount', place.mountPoint])).status).toBe(0);
  });

  test.each(places)('a chunk that is lost is EIO where it is, and told in damaged.jsonl; all else is read, %s', async (storeAt) => {
    const store = copyOfStore('sample');
    const path = 'vm/120/2021-05-24T16:23:02Z/drive-scsi0.img';
    const index = parseFixedIndex(readFileSync(join(store, `${path}.fidx`)));
    const lost = Array.from({ length: index.count }, (_, n) => n).filter((n) => !index.digestAt(n).toString('hex').startsWith('bb9f8df6'))[1] ?? 0;
    const hex = index.digestAt(lost).toString('hex');
    const whole = await bytesOf(storedStream(newShelf({ directory: store }), `${path}.fidx`));
    writeFileSync(join(store, '.chunks', hex.slice(0, 4), hex), 'damaged');
    const place = mountPlace();
    expect((await mountAt(place, await locationOf(store, storeAt))).status).toBe(0);
    const file = await open(join(place.mountPoint, path), 'r');
    const [start, end] = [index.startOf(lost), index.endOf(lost)];
    for (const offset of [start, end - 1, start + 100_000]) await expect(file.read(Buffer.alloc(1), 0, 1, offset)).rejects.toMatchObject({ code: 'EIO' });
    for (const [from, length] of [[0, 4096], [start - 4096, 4096], [end, 1 << 20]] as const) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, from);
      expect(buffer.subarray(0, bytesRead).equals(whole.subarray(from, from + length)), `${from}`).toBe(true);
    }
    await file.close();
    const told = readFileSync(join(place.mountPoint, '.pbsfs/damaged.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as { digest: string });
    expect(told.map(({ digest }) => digest)).toEqual([hex]);
    expect(readFileSync(place.log, 'utf8').split('\n').filter((line) => line.includes(hex))).toHaveLength(1);
    expect((await pbsfs(['umount', place.mountPoint])).status).toBe(0);
  });

  test('the daemon that is killed takes its mount along', async () => {
    const place = mountPlace();
    expect((await mountAt(place, storePath('sample'))).status).toBe(0);
    const pid = await daemonOf(place.mountPoint);
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => {
      expect(mountLines(place.mountPoint)).toEqual([]);
    }, { timeout: 5000, interval: 50 });
    await delay(50);
    expect(readdirSync(place.mountPoint)).toEqual([]);
  });
});
