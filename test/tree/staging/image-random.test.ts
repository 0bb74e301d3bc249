/** Random operations on staged images, beside the same ones on a plain buffer. */
import { describe, expect, test } from 'vitest';
import { EncryptionKey } from '../../../src/crypto/encryption-key.js';
import type { ClonableImage, StagedImage } from '../../../src/tree/staging/image-file.js';
import { Random, noise, seed, text } from '../../support/random.js';
import { backupOf, chunkBytes, clonable, digestsOf, mebibyte, readAll, readRange, staging, type Staging } from '../../support/staged-images.js';

const operations = 20_000;
const sizeMax = 22 * mebibyte + 777;
const limits = { spooledChunksMax: 3 };
const filler = text('random', 6 * mebibyte);

class Model {
  readonly #bytes = Buffer.alloc(sizeMax);
  size = 0;

  content(from = 0, to = this.size): Buffer {
    return this.#bytes.subarray(from, to);
  }

  write(offset: number, data: Buffer): void {
    data.copy(this.#bytes, offset);
    this.size = Math.max(this.size, offset + data.length);
  }

  truncate(size: number): void {
    if (size < this.size) this.#bytes.fill(0, size);
    this.size = size;
  }

  zero(offset: number, length: number, keepSize: boolean): void {
    this.#bytes.fill(0, offset, keepSize ? Math.min(offset + length, this.size) : offset + length);
    if (!keepSize) this.size = Math.max(this.size, offset + length);
  }
}

class Tester {
  readonly model = new Model();
  readonly counts = new Map<string, number>();
  readonly #random: Random;
  readonly #place: Staging;
  readonly #sources: readonly { content: Buffer; image: ClonableImage }[];
  image: StagedImage;
  spooledMax = 0;

  constructor(random: Random, place: Staging, image: StagedImage, sources: readonly { content: Buffer; image: ClonableImage }[]) {
    this.#random = random;
    this.#place = place;
    this.image = image;
    this.#sources = sources;
  }

  async step(): Promise<void> {
    const random = this.#random;
    const often = ['write', 'write', 'write', 'write', 'write', 'read', 'read', 'read'];
    const kinds = [...often, 'append', 'truncate', 'punch', 'zero', 'reserve', 'clone', 'seek'];
    const rare = ['flush', 'sync', 'reopen', 'all'];
    const kind = random.below(60) === 0 ? random.pick(rare) : random.pick(kinds);
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    await this.#do(kind);
    expect(this.image.size).toBe(this.model.size);
    this.spooledMax = Math.max(this.spooledMax, this.image.spooledChunks);
  }

  async #do(kind: string): Promise<void> {
    const random = this.#random;
    const { model, image } = this;
    const offset = this.#offset();
    const length = Math.min(this.#length(), sizeMax - offset);
    switch (kind) {
      case 'write':
        return await this.#write(offset, length);
      case 'append':
        return await this.#write(model.size, Math.min(length, sizeMax - model.size));
      case 'read': {
        const wanted = Buffer.from(model.content(Math.min(offset, model.size), Math.min(offset + length, model.size)));
        const got = await readRange(image, offset, Math.max(Math.min(length, model.size - offset), 0));
        expect(got.equals(wanted), `${length} bytes at ${offset}`).toBe(true);
        return;
      }
      case 'truncate': {
        const size = random.below(3) === 0 ? Math.min(offset + length, sizeMax) : Math.max(model.size - random.below(mebibyte), 0);
        model.truncate(size);
        await image.truncate(size);
        return;
      }
      case 'punch':
      case 'zero': {
        const keepSize = kind === 'punch' || random.below(2) === 0;
        model.zero(offset, length, keepSize);
        await image.allocate({ kind, offset, length, keepSize });
        return;
      }
      case 'reserve':
        await image.allocate({ kind, offset, length, keepSize: true });
        return;
      case 'clone':
        return await this.#clone(offset);
      case 'seek':
        return this.#seek(offset);
      case 'flush':
        return await image.flush();
      case 'sync':
        return await image.sync();
      case 'reopen':
        await image.close();
        this.image = await this.#place.open('disk.img', limits);
        return;
      default:
        expect((await readAll(image)).equals(model.content())).toBe(true);
    }
  }

  async #write(offset: number, length: number): Promise<void> {
    const data = Buffer.from(filler.subarray(0, length));
    if (length > 8) data.writeDoubleLE(this.#random.below(1e9), this.#random.below(length - 8));
    this.model.write(offset, data);
    const writing = this.image.write(offset, data);
    // The driver uses its memory again.
    data.fill(0xff);
    expect(await writing).toBe(length);
  }

  async #clone(near: number): Promise<void> {
    const random = this.#random;
    const { content, image } = random.pick(this.#sources);
    const aligned = random.below(4) > 0;
    const targetOffset = aligned ? Math.floor(near / chunkBytes) * chunkBytes : near;
    const from = random.below(content.length);
    const sourceOffset = aligned ? Math.floor(from / chunkBytes) * chunkBytes : from;
    const length = Math.min(random.pick([random.below(mebibyte), random.below(12 * mebibyte), content.length]), sizeMax - targetOffset);
    const copied = await this.image.cloneRange(image, sourceOffset, targetOffset, length);
    expect(copied).toBeLessThanOrEqual(Math.min(length, content.length - sourceOffset));
    if (length > 0) expect(copied).toBeGreaterThan(0);
    this.model.write(targetOffset, content.subarray(sourceOffset, sourceOffset + copied));
  }

  #seek(offset: number): void {
    const { image, model } = this;
    const file = image.openToRead();
    if (offset >= model.size) {
      expect(() => file.seek(offset, 'hole')).toThrow(expect.objectContaining({ code: 'NO_SUCH_ADDRESS' }) as Error);
      return;
    }
    const hole = Number(file.seek(offset, 'hole'));
    expect(hole).toBeGreaterThanOrEqual(offset);
    const data = attempt(() => Number(file.seek(offset, 'data'))) ?? model.size;
    expect(Math.min(hole, data)).toBe(offset);
    // Everything before data is zeros.
    if (data > offset) expect(isZero(model.content(offset, data))).toBe(true);
  }

  #offset(): number {
    const random = this.#random;
    const anywhere = [random.below(sizeMax), random.below(this.model.size + 1)];
    const nearChunks = [random.below(5) * chunkBytes, random.below(5) * chunkBytes + random.below(9000)];
    const at = random.pick([...anywhere, ...nearChunks]);
    return random.below(2) === 0 ? at : at & ~4095;
  }

  #length(): number {
    const random = this.#random;
    const small = [random.below(100), random.below(5000), 4095, 4095];
    return 1 + random.pick([...small, random.below(100_000), (1 << 17) - 1, mebibyte - 1, random.below(5 * mebibyte)]);
  }
}

function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(Buffer.alloc(bytes.length));
}

/** Noise, chunks of zeros, text, and an end that is no whole chunk. */
function sourceContent(label: string, bytes: number): Buffer {
  const content = Buffer.alloc(bytes);
  noise(label, 3 * mebibyte).copy(content, mebibyte);
  text(label, bytes).copy(content, 2 * chunkBytes, 2 * chunkBytes);
  return content;
}

describe.each([
  { title: 'plain', key: undefined, count: operations },
  { title: 'encrypted', key: new EncryptionKey(Buffer.alloc(32, 9)), count: operations / 10 },
])('$title', ({ key, count }) => {
  test(`${count} operations, seed ${seed}`, { timeout: 600_000 }, async () => {
    const random = new Random(seed);
    const place = await staging({ key, roomsMax: 4 });
    const contents = [sourceContent('a', 13 * mebibyte + 5), sourceContent('b', 12 * mebibyte)];
    const sources = await Promise.all(contents.map(async (content) => ({ content, image: await clonable(content, place) })));
    const tester = new Tester(random, place, await place.open('disk.img', limits), sources);
    for (let n = 0; n < count; n++) {
      try {
        await tester.step();
      } catch (error) {
        throw new Error(`operation ${n}: ${String(error)}`, { cause: error });
      }
    }
    expect(tester.spooledMax).toBeLessThanOrEqual(limits.spooledChunksMax);
    expect(tester.spooledMax).toBe(limits.spooledChunksMax);
    const { model, image } = tester;
    if (model.size === 0) await image.truncate(1);
    if (model.size === 0) model.truncate(1);
    expect((await readAll(image)).equals(model.content())).toBe(true);
    const finished = await image.finish();
    const index = await backupOf(Buffer.from(model.content()), place);
    expect(finished.size).toBe(model.size);
    expect(finished.digests.equals(digestsOf(index))).toBe(true);
    expect((await readAll(image)).equals(model.content()), 'after it was finished').toBe(true);
    expect(place.damage.count).toBe(0);
    await image.close();
    expect(place.rooms.taken).toBe(0);
    console.log([...tester.counts].map(([kind, times]) => `${kind} ${times}`).join(', '));
  });
});
