/** Staged images: bounds of spool and memory, failures of either disk, clones, what a power cut and damage leave. */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { EncryptionKey } from '../../../src/crypto/encryption-key.js';
import { chunkPath } from '../../../src/format/chunk-path.js';
import { encodeFixedIndex, parseFixedIndex } from '../../../src/format/fixed-index.js';
import { imageBytesMax } from '../../../src/tree/staging/image-record.js';
import type { StagedImage } from '../../../src/tree/staging/image-file.js';
import { mountedFileSystem } from '../../support/file-systems.js';
import { emptyStore } from '../../support/new-snapshots.js';
import { Random, noise, seed } from '../../support/random.js';
import { backupOf, chunkBytes, clonable, digestsOf, mebibyte, readAll, readRange, staging, type Staging } from '../../support/staged-images.js';

const gibibyte = 1 << 30;
const isRoot = process.getuid?.() === 0;

function spoolBytes(place: Staging, name = 'disk.img'): number {
  return statSync(join(place.spool, name, 'data')).blocks * 512;
}

function storedChunks({ store }: Staging): string[] {
  return readdirSync(join(store, '.chunks'), { recursive: true, encoding: 'utf8' }).filter((name) => /^[0-9a-f]{4}\/[0-9a-f]{64}$/.test(name));
}

/** Each in a chunk of its own. */
async function scatter(image: StagedImage, count: number, label: string, bytes: number, first = 0): Promise<void> {
  for (let chunk = first; chunk < first + count; chunk++) await image.write(chunk * chunkBytes + 8192, noise(`${label}${chunk}`, bytes));
}

describe('the spool', () => {
  test('stays empty while an image of a tebibyte is written in order', { timeout: 120_000 }, async () => {
    const place = await staging();
    const image = await place.open();
    const piece = Buffer.alloc(mebibyte, 'the same again ');
    for (let gib = 0; gib < 1024; gib += 2) {
      for (let at = 0; at < chunkBytes; at += mebibyte) await image.write(gib * gibibyte + at, piece);
      expect(image.spooledChunks).toBe(0);
      expect(place.rooms.taken).toBeLessThanOrEqual(place.writer.memory.memory.byteLength / chunkBytes);
    }
    await image.write(1024 * gibibyte - 100, piece.subarray(0, 100));
    await image.flush();
    expect(image.size).toBe(1024 * gibibyte);
    expect(image.spooledChunks).toBe(1);
    expect(spoolBytes(place)).toBeLessThan(mebibyte);
    expect(statSync(join(place.spool, 'disk.img/map')).blocks * 512).toBeLessThan(8 * mebibyte);
    expect((await readRange(image, 512 * gibibyte, mebibyte)).equals(piece)).toBe(true);
    const { digests, size } = await image.finish();
    expect([digests.length, size]).toEqual([(1024 * gibibyte) / chunkBytes * 32, 1024 * gibibyte]);
    expect(storedChunks(place)).toHaveLength(3);
  });

  test('has no more chunks than it may, whatever is written where, from many sides', { timeout: 120_000 }, async () => {
    const place = await staging({ roomsMax: 6 });
    const limits = { spooledChunksMax: 10 };
    const images = await Promise.all(['a.img', 'b.img'].map((name) => place.open(name, limits)));
    const random = new Random(seed);
    const models = images.map(() => Buffer.alloc(60 * chunkBytes));
    const writer = async (which: number, part: number): Promise<void> => {
      const [image, model] = [images[which], models[which]];
      if (image === undefined || model === undefined) throw new Error('no image');
      for (let n = 0; n < 60; n++) {
        // Parts are neighbours within the same chunks.
        const offset = random.below(60) * chunkBytes + part * mebibyte + random.below(200_000);
        const data = noise(`${which} ${part} ${n}`, 1 + random.below(100_000));
        data.copy(model, offset);
        await image.write(offset, data);
        if (n % 20 === 19) await image.sync();
        expect(image.spooledChunks).toBeLessThanOrEqual(10);
        expect(place.rooms.taken).toBeLessThanOrEqual(6);
        const got = await readRange(image, offset, data.length);
        expect(got.equals(data), `seed ${seed}`).toBe(true);
      }
    };
    await Promise.all([0, 1].flatMap((which) => [0, 1, 2, 3].map((part) => writer(which, part))));
    for (const [which, image] of images.entries()) {
      await image.truncate(60 * chunkBytes);
      const model = models[which] ?? Buffer.alloc(0);
      expect((await readAll(image)).equals(model), `seed ${seed}`).toBe(true);
      expect((await image.finish()).digests.equals(digestsOf(await backupOf(model, place)))).toBe(true);
      await image.sync();
      expect(spoolBytes(place, `${'ab'[which] ?? ''}.img`)).toBe(0);
      await image.close();
    }
    expect(place.rooms.taken).toBe(0);
  });

  test('that was left is used again: chunks of an earlier process are finished by the next', async () => {
    const place = await staging();
    const image = await place.open();
    const content = noise('halves', 3 * chunkBytes + 99);
    const half = async (to: StagedImage, chunk: number, which: number): Promise<void> => {
      const at = chunk * chunkBytes + which * 2 * mebibyte;
      await to.write(at, content.subarray(at, at + 2 * mebibyte));
    };
    for (let chunk = 0; chunk < 3; chunk++) await half(image, chunk, 0);
    await image.close();
    expect(storedChunks(place)).toHaveLength(0);
    const again = await place.open();
    expect([again.size, again.spooledChunks]).toEqual([2 * chunkBytes + 2 * mebibyte, 3]);
    for (let chunk = 0; chunk < 3; chunk++) await half(again, chunk, 1);
    await again.write(3 * chunkBytes, content.subarray(3 * chunkBytes));
    await again.sync();
    expect(storedChunks(place)).toHaveLength(3);
    expect(again.spooledChunks).toBe(1);
    expect((await again.finish()).digests.equals(digestsOf(await backupOf(content, place)))).toBe(true);
  });
});

describe('what a reader and a writer see', () => {
  test('sizes, holes and ends', async () => {
    const place = await staging();
    const image = await place.open();
    const file = image.openToWrite();
    expect(image.writersOpen).toBe(1);
    expect(await file.read(0, 10)).toEqual([]);
    expect(await file.write(5 * chunkBytes + 10, Buffer.from('x'), { killPrivileges: false })).toBe(1);
    expect(image.size).toBe(5 * chunkBytes + 11);
    expect(file.seek(0, 'data')).toBe(5 * chunkBytes + 10);
    expect(file.seek(5 * chunkBytes + 10, 'hole')).toBe(5 * chunkBytes + 11);
    expect(file.seek(3, 'hole')).toBe(3);
    expect(() => file.seek(image.size, 'hole')).toThrow(expect.objectContaining({ code: 'NO_SUCH_ADDRESS' }) as Error);
    await image.truncate(5 * chunkBytes);
    expect(() => file.seek(0, 'data')).toThrow(expect.objectContaining({ code: 'NO_SUCH_ADDRESS' }) as Error);
    expect(image.allocatedBytes).toBe(0);
    await image.truncate(imageBytesMax);
    await image.flush();
    expect(file.seek(0, 'hole')).toBe(0);
    const tooLarge = expect.objectContaining({ code: 'TOO_LARGE' }) as Error;
    expect(() => file.write(imageBytesMax, Buffer.from('x'), { killPrivileges: false })).toThrow(tooLarge);
    expect(() => image.truncate(imageBytesMax + 1)).toThrow(tooLarge);
    await image.write(imageBytesMax - 1, Buffer.from('y'));
    expect(Buffer.concat(await file.read(imageBytesMax - 5, 100)).toString('latin1')).toBe('\0\0\0\0y');
    await image.truncate(0);
    await expect(image.finish()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    file.close();
    file.close();
    expect(image.writersOpen).toBe(0);
  });

  test('zeros that are written are a hole once their chunk is complete', async () => {
    const place = await staging();
    const image = await place.open();
    for (let at = 0; at < 2 * chunkBytes; at += mebibyte) await image.write(at, Buffer.alloc(mebibyte));
    await image.sync();
    expect(image.allocatedBytes).toBe(0);
    expect(image.openToRead().seek(0, 'hole')).toBe(0);
    expect((await image.finish()).digests.equals(digestsOf(await backupOf(Buffer.alloc(2 * chunkBytes), place)))).toBe(true);
  });

  test('thousands of small pieces of one chunk, in no order', { timeout: 120_000 }, async () => {
    const place = await staging();
    const content = noise('pieces', chunkBytes + 1000);
    const image = await place.open();
    await image.write(0, content);
    const changed = Buffer.from(content);
    for (let n = 0; n < 3000; n++) {
      const offset = (n * 7919 * 64) % chunkBytes;
      changed[offset] = n;
      await image.write(offset, changed.subarray(offset, offset + 1));
      if (n % 1000 === 500) await image.flush();
    }
    expect((await readAll(image)).equals(changed)).toBe(true);
    await image.close();
    const again = await place.open();
    expect((await readAll(again)).equals(changed)).toBe(true);
    expect((await again.finish()).digests.equals(digestsOf(await backupOf(changed, place)))).toBe(true);
  });
});

describe.skipIf(!isRoot)('a full or read-only disk', () => {
  const keys = [{ key: undefined }, { key: new EncryptionKey(Buffer.alloc(32, 3)) }];
  test.each(keys)('of the datastore is told to the writer, and nothing is lost', { timeout: 120_000 }, async ({ key }) => {
    const disk = mountedFileSystem('tmpfs', { megabytes: 32 });
    const place = await staging({ store: emptyStore(join(disk, 'store')), key });
    const image = await place.open('disk.img', { spooledChunksMax: 4 });
    const content = noise('full', 120 * mebibyte);
    let taken = 0;
    const fill = async (): Promise<void> => {
      for (; taken < content.length; taken += mebibyte) await image.write(taken, content.subarray(taken, taken + mebibyte));
      await image.sync();
    };
    await expect(fill()).rejects.toMatchObject({ code: 'ENOSPC' });
    for (let n = 0; n < 100 && taken < content.length; n++) await fill().catch((error: unknown) => expect(error).toMatchObject({ code: 'ENOSPC' }));
    expect(taken).toBeGreaterThan(30 * mebibyte);
    expect(taken, 'what does not fit is not taken').toBeLessThan(120 * mebibyte);
    const before = image.size;
    expect((await readAll(image)).subarray(0, taken).equals(content.subarray(0, taken))).toBe(true);
    execFileSync('mount', ['-o', 'remount,size=200m', disk]);
    await fill();
    expect(image.size).toBeGreaterThanOrEqual(before);
    expect((await readAll(image)).equals(content)).toBe(true);
    const { digests } = await image.finish();
    await image.close();
    expect(digests.equals(digestsOf(await backupOf(content, place)))).toBe(true);
  });

  test('of the datastore, read-only in the middle', async () => {
    const store = emptyStore();
    const chunks = join(store, '.chunks');
    execFileSync('mount', ['--bind', chunks, chunks]);
    onTestFinished(() => void execFileSync('umount', ['-l', chunks]));
    const place = await staging({ store });
    const image = await place.open();
    const content = noise('erofs', 20 * mebibyte);
    await image.write(0, content.subarray(0, 8 * mebibyte));
    await image.sync();
    execFileSync('mount', ['-o', 'remount,bind,ro', chunks]);
    const fill = async (): Promise<void> => {
      for (let at = 8 * mebibyte; at < content.length; at += mebibyte) await image.write(at, content.subarray(at, at + mebibyte));
      await image.flush();
    };
    await expect(fill()).rejects.toMatchObject({ code: 'EROFS' });
    expect((await readRange(image, 0, 8 * mebibyte)).equals(content.subarray(0, 8 * mebibyte))).toBe(true);
    await expect(image.finish()).rejects.toMatchObject({ code: 'EROFS' });
    execFileSync('mount', ['-o', 'remount,bind,rw', chunks]);
    await fill().catch(() => undefined);
    await fill();
    expect((await readAll(image)).equals(content)).toBe(true);
    expect((await image.finish()).size).toBe(content.length);
  });

  test('of the spool is told to the writer; what was written before is read, and finished when there is space', async () => {
    const disk = mountedFileSystem('tmpfs', { megabytes: 1 });
    const place = await staging({ roomsMax: 4 });
    const image = await place.open('disk.img', { directory: join(disk, 'state') });
    const fill = (): Promise<void> => scatter(image, 40, 'small', 100_000);
    await expect(fill()).rejects.toMatchObject({ code: 'ENOSPC' });
    await expect(image.flush()).rejects.toMatchObject({ code: 'ENOSPC' });
    expect((await readRange(image, 8192, 100_000)).equals(noise('small0', 100_000))).toBe(true);
    execFileSync('mount', ['-o', 'remount,size=100m', disk]);
    await fill();
    await image.sync();
    const finished = await image.finish();
    expect(finished.size).toBe(39 * chunkBytes + 8192 + 100_000);
    for (let chunk = 0; chunk < 40; chunk++) {
      expect((await readRange(image, chunk * chunkBytes + 8192, 100_000)).equals(noise(`small${chunk}`, 100_000))).toBe(true);
    }
    await image.close();
  });
});

describe('a clone', () => {
  const keys = [{ key: undefined }, { key: new EncryptionKey(Buffer.alloc(32, 5)) }];

  test.each(keys)('takes no data, and tells what was changed in it', async ({ key }) => {
    const place = await staging({ key });
    const content = Buffer.concat([noise('c', 2 * chunkBytes), Buffer.alloc(3 * chunkBytes), noise('d', chunkBytes + 12_345)]);
    const source = await clonable(content, place);
    const before = storedChunks(place);
    const image = await place.open();
    const unread = { ...source, readAt: () => Promise.reject(new Error('read')) };
    expect(await image.cloneRange(unread, 0, 0, 1e12)).toBe(content.length);
    expect(await image.cloneRange(unread, content.length, content.length, 100)).toBe(0);
    expect((await readAll(image)).equals(content)).toBe(true);
    expect(await image.finish()).toMatchObject({ size: content.length, dirtyBytes: 0, baseCsum: source.index.csum });
    await image.close();
    expect(storedChunks(place)).toEqual(before);
    const again = await place.open();
    expect(again.allocatedBytes).toBe(3 * chunkBytes + 12_345);
    content.write('changed', chunkBytes + 5);
    await again.write(chunkBytes + 5, Buffer.from('changed'));
    await again.write(content.length - 2, Buffer.from('..'));
    content.write('..', content.length - 2);
    const finished = await again.finish();
    expect(finished).toMatchObject({ dirtyBytes: chunkBytes + 12_345, baseCsum: source.index.csum });
    expect(finished.digests.equals(digestsOf(await backupOf(content, place)))).toBe(true);
  });

  test('of parts, of a key that does not fit, of another offset, and where something is copies what it must', async () => {
    const place = await staging();
    const content = noise('parts', 3 * chunkBytes + 777);
    const source = await clonable(content, place);
    const image = await place.open();
    const model = Buffer.alloc(13 * chunkBytes);
    const copy = async (from: number, to: number, length: number, keyFits = true): Promise<number> => {
      const copied = await image.cloneRange({ ...source, keyFits }, from, to, length);
      content.copy(model, to, from, from + copied);
      return copied;
    };
    // What the kernel asks for of large files ends one page before a chunk does: the rest is left for the next time.
    expect(await copy(0, 0, 2 * chunkBytes - 4096)).toBe(chunkBytes);
    expect(await copy(100, 100, 2 * chunkBytes)).toBe(2 * chunkBytes - 100);
    expect(await copy(5, 6, 1000)).toBe(1000);
    expect(await copy(0, 4 * chunkBytes, 100_000, false)).toBe(100_000);
    await image.write(9 * chunkBytes, Buffer.from('behind'));
    model.write('behind', 9 * chunkBytes);
    expect(await copy(3 * chunkBytes, 8 * chunkBytes, chunkBytes)).toBe(777);
    expect(await copy(2 * chunkBytes, 11 * chunkBytes, 2 * chunkBytes)).toBe(chunkBytes + 777);
    expect(image.size).toBe(12 * chunkBytes + 777);
    expect((await readAll(image)).equals(model.subarray(0, image.size))).toBe(true);
    const finished = await image.finish();
    expect(finished.digests.equals(digestsOf(await backupOf(model.subarray(0, image.size), place)))).toBe(true);
    // Of the first chunk the end was copied once more.
    expect(finished.dirtyBytes).toBe(image.size - chunkBytes);
  });

  test('without a chunk fails where it is read, and one that goes later is named', async () => {
    const place = await staging();
    const content = noise('gone', 3 * chunkBytes);
    const source = await clonable(content, place);
    const image = await place.open();
    const second = join(place.store, chunkPath(source.index.digestAt(1)));
    const saved = readFileSync(second);
    rmSync(second);
    const failing = { ...source, readAt: () => Promise.reject(new Error('chunk is missing')) };
    await expect(image.cloneRange(failing, 0, 0, content.length)).rejects.toThrow('chunk is missing');
    writeFileSync(second, saved);
    expect(await image.cloneRange(source, 0, 0, content.length)).toBe(content.length);
    await image.close();
    rmSync(second);
    const again = await place.open();
    expect((await readRange(again, 0, chunkBytes)).equals(content.subarray(0, chunkBytes))).toBe(true);
    await expect(readRange(again, chunkBytes + 5, 10)).rejects.toMatchObject({ code: 'CHUNK_MISSING' });
    const ranges = [{ start: chunkBytes, end: 2 * chunkBytes }];
    expect([...place.damage.chunks]).toMatchObject([{ affects: [{ path: 'host/web/staging/disk.img', ranges }] }]);
    const message = expect.stringContaining(`at byte ${chunkBytes} `) as string;
    await expect(again.finish()).rejects.toMatchObject({ code: 'CHUNK_MISSING', message });
    for (let at = chunkBytes; at < 2 * chunkBytes; at += mebibyte) await again.write(at, content.subarray(at, at + mebibyte));
    expect((await again.finish()).digests.equals(digestsOf(await backupOf(content, place)))).toBe(true);
  });

  test('of 100 GiB takes less than 100 ms, and finishing it unchanged less than 2 s', { timeout: 120_000 }, async () => {
    const place = await staging();
    const count = (100 * gibibyte) / chunkBytes;
    const distinct = await backupOf(noise('large', 50 * chunkBytes), place);
    const zero = await backupOf(Buffer.alloc(chunkBytes), place);
    const digests = Buffer.concat(Array.from({ length: count }, (_, i) => (i % 7 === 0 ? distinct.digestAt(i % 50) : zero.digestAt(0))));
    const index = parseFixedIndex(encodeFixedIndex({ uuid: Buffer.alloc(16), ctime: 0, size: 100 * gibibyte, chunkSize: chunkBytes, digests }));
    const image = await place.open();
    const begun = performance.now();
    expect(await image.cloneRange({ index, keyFits: true, readAt: () => [] }, 0, 0, 100 * gibibyte)).toBe(100 * gibibyte);
    const cloned = performance.now();
    await image.flush();
    const flushed = performance.now();
    const finished = await image.finish();
    const done = performance.now();
    console.log(`clone ${Math.round(cloned - begun)} ms, flush ${Math.round(flushed - cloned)} ms, finish ${Math.round(done - flushed)} ms`);
    expect(finished.digests.equals(digests)).toBe(true);
    expect(finished.dirtyBytes).toBe(0);
    // Twice the limits: others may use the processors.
    expect(cloned - begun).toBeLessThan(200);
    expect(done - flushed).toBeLessThan(4000);
  });
});

describe('after a power cut', () => {
  /** What is on disk now, without what has not reached the map. */
  async function cut(place: Staging, lostChunks: readonly string[]): Promise<StagedImage> {
    cpSync(join(place.spool, 'disk.img'), join(place.spool, 'after.img'), { recursive: true });
    for (const name of lostChunks) rmSync(join(place.store, '.chunks', name));
    return await place.open('after.img');
  }

  test.each([
    { title: 'complete chunks', bytes: chunkBytes },
    { title: 'parts of chunks', bytes: 3 * mebibyte },
  ])('what was synced is there, though newer $title were stored meanwhile', async ({ bytes }) => {
    const place = await staging();
    const image = await place.open('disk.img', { spooledChunksMax: 2 });
    const old = noise('old', chunkBytes + bytes);
    for (let at = 0; at < old.length; at += mebibyte) await image.write(at, old.subarray(at, at + mebibyte));
    await image.sync();
    const before = storedChunks(place);
    for (let at = 0; at < old.length; at += mebibyte) await image.write(at, noise(`new${at}`, Math.min(mebibyte, old.length - at)));
    await setTimeout(500);
    const lostChunks = storedChunks(place).filter((name) => !before.includes(name));
    expect(lostChunks.length).toBeGreaterThan(0);
    const after = await cut(place, lostChunks);
    expect((await readAll(after)).equals(old)).toBe(true);
  });

  test.each([
    { title: 'a flush', spooledChunksMax: 8, act: (image: StagedImage) => image.flush() },
    { title: 'a spool that is full', spooledChunksMax: 2, act: (image: StagedImage) => scatter(image, 24, 'other', 100, 6) },
  ])('what was synced is not given up by $title before what takes its place is durable', async ({ spooledChunksMax, act }) => {
    const place = await staging({ roomsMax: 4 });
    const cuts: { state: string; chunks: readonly string[] }[] = [];
    // What is on disk at the moment when the datastore is to be made durable: all that was not before may go.
    const watched = new Proxy(place.writer, {
      get: (writer, name) => {
        const value: unknown = Reflect.get(writer, name, writer);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          if (name === 'sync') {
            const state = `cut${cuts.length}.img`;
            cpSync(join(place.spool, 'disk.img'), join(place.spool, state), { recursive: true });
            cuts.push({ state, chunks: storedChunks(place) });
          }
          return (value as (...given: unknown[]) => unknown).apply(writer, args);
        };
      },
    });
    const image = await place.open('disk.img', { spooledChunksMax, writer: watched });
    const old = noise('first', 3 * chunkBytes + mebibyte);
    for (let at = 0; at < old.length; at += mebibyte) await image.write(at, old.subarray(at, at + mebibyte));
    await image.sync();
    const safe = storedChunks(place);
    cuts.length = 0;
    for (let at = 0; at < old.length; at += mebibyte) await image.write(at, noise(`second ${at}`, mebibyte));
    await act(image);
    expect(cuts.length).toBeGreaterThan(0);
    const [first] = cuts;
    const newer = storedChunks(place).filter((name) => !safe.includes(name));
    expect(newer.length).toBeGreaterThan(0);
    await image.close();
    for (const name of newer) rmSync(join(place.store, '.chunks', name));
    const after = await place.open(first?.state);
    for (let at = 0; at < old.length; at += mebibyte) {
      const piece = await readRange(after, at, mebibyte);
      expect([old.subarray(at, at + mebibyte), noise(`second ${at}`, mebibyte)].some((each) => each.equals(piece)), `at ${at}`).toBe(true);
    }
  });

  test('a record that was half written is lost, the others are not', async () => {
    const place = await staging();
    const image = await place.open();
    const content = noise('torn', 3 * chunkBytes);
    for (let at = 0; at < content.length; at += mebibyte) await image.write(at, content.subarray(at, at + mebibyte));
    await image.close();
    const path = join(place.spool, 'disk.img/map');
    const map = readFileSync(path);
    map.fill(0xff, 4096 + 128 + 20, 4096 + 128 + 30);
    writeFileSync(path, map);
    const again = await place.open();
    expect((await readRange(again, 0, chunkBytes)).equals(content.subarray(0, chunkBytes))).toBe(true);
    const message = expect.stringContaining(String(chunkBytes)) as string;
    await expect(readRange(again, chunkBytes, 1)).rejects.toMatchObject({ code: 'BAD_CRC', message });
    await expect(again.finish()).rejects.toMatchObject({ code: 'BAD_CRC' });
    await again.write(chunkBytes + 7, Buffer.from('part'));
    await expect(again.flush()).rejects.toMatchObject({ code: 'BAD_CRC' });
    for (let at = chunkBytes; at < 2 * chunkBytes; at += mebibyte) await again.write(at, content.subarray(at, at + mebibyte));
    expect((await again.finish()).digests.equals(digestsOf(await backupOf(content, place)))).toBe(true);
    expect((await readAll(again)).equals(content)).toBe(true);
  });

  test('one of two headers is enough; without any the image is refused', async () => {
    const place = await staging();
    const image = await place.open();
    await image.write(0, noise('h', 5000));
    await image.sync();
    await image.write(5000, noise('i', 5000));
    await image.close();
    const path = join(place.spool, 'disk.img/map');
    const map = readFileSync(path);
    map.fill(0xff, 24, 31);
    writeFileSync(path, map);
    const again = await place.open();
    expect([5000, 10_000]).toContain(again.size);
    await again.close();
    map.fill(0xff, 0, 4096);
    writeFileSync(path, map);
    await expect(place.open()).rejects.toMatchObject({ code: 'BAD_STRUCTURE' });
  });
});
