/** Every way to zstd that this machine has decodes the same and refuses the same. */
import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { decompressAtMost, loadZstd, type Zstd, type ZstdWay } from '../../src/os/zstd/zstd.js';
import { noise, seed, text } from '../support/random.js';

const ways: ZstdWay[] = ['library', 'node', 'wasm'];

async function available(way: ZstdWay): Promise<Zstd | undefined> {
  try {
    return await loadZstd([way]);
  } catch {
    return undefined;
  }
}

/** Content `0123456789abcdef` 16 times: without content size as a server 3.2 writes it, and with. */
const streamed = Buffer.from('28b52ffd0048bd000080303132333435363738396162636465660100da43cd25', 'hex');
const oneShot = Buffer.from('28b52ffd600000bd000080303132333435363738396162636465660100da43cd25', 'hex');
const content = Buffer.from('0123456789abcdef'.repeat(16));
const skippable = Buffer.concat([Buffer.from('502a4d18', 'hex'), Buffer.from([5, 0, 0, 0]), Buffer.alloc(5)]);
const encoders = await Promise.all(ways.map(available));

for (const [i, way] of ways.entries()) {
  const zstd = encoders[i];
  if (zstd === undefined) {
    test(`${way}: not available on Node ${process.version} here, and said to be so`, async () => {
      await expect(loadZstd([way])).rejects.toThrow(new RegExp(`no way to decompress zstd works here \\(${way}: `));
    });
    continue;
  }
  describe(`${way} (${zstd.name})`, () => {
    const decoded = (frame: Buffer, room: number): Buffer => {
      const target = Buffer.from(new SharedArrayBuffer(room));
      return target.subarray(0, zstd.decompress(frame, target));
    };

    test.each([
      ['without content size', streamed],
      ['with content size', oneShot],
    ])('a frame %s, into exact room and into more', (_, frame) => {
      expect(decoded(frame, content.length).equals(content)).toBe(true);
      expect(decoded(frame, content.length * 3).equals(content)).toBe(true);
    });

    test('concatenated and skippable frames', () => {
      const frames = Buffer.concat([streamed, skippable, oneShot, skippable]);
      expect(decoded(frames, content.length * 2).equals(Buffer.concat([content, content]))).toBe(true);
    });

    test.each([
      ['a frame that decodes to more than there is room for', streamed, content.length - 1],
      ['the same with its size in the header', oneShot, content.length - 1],
      ['two frames with room for one', Buffer.concat([oneShot, streamed]), content.length],
      ['a frame with another magic', Buffer.concat([Buffer.from([0x29]), streamed.subarray(1)]), content.length],
      ['no zstd at all', content, content.length],
      ['bytes after the frame that are none', Buffer.concat([oneShot, Buffer.from('garbage!')]), content.length],
    ])('%s is refused', (_, frame, room) => {
      const around = Buffer.from(new SharedArrayBuffer(room + 64)).fill(0x77);
      expect(() => zstd.decompress(frame, around.subarray(32, 32 + room))).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
      expect([...around.subarray(0, 32), ...around.subarray(32 + room)].every((byte) => byte === 0x77)).toBe(true);
    });

    test.each([
      ['streamed', streamed],
      ['one-shot', oneShot],
    ])('a %s frame cut anywhere is refused or gives less', (_, frame) => {
      for (let length = 1; length < frame.length; length++) {
        try {
          expect(decoded(frame.subarray(0, length), content.length).length, `cut to ${length}`).toBeLessThan(content.length);
        } catch (error) {
          expect(error, `cut to ${length}`).toMatchObject({ code: 'BAD_STRUCTURE' });
        }
      }
    });

    test(`what is compressed here is read by every way, and random bytes never crash (seed ${seed})`, () => {
      const data = fc.oneof(fc.uint8Array({ maxLength: 5000 }), fc.string({ maxLength: 200 }).map((part) => Buffer.from(part.repeat(500))));
      fc.assert(
        fc.property(data, fc.uint8Array({ maxLength: 300 }), (bytes, other) => {
          const frame = zstd.compress(bytes);
          expect(frame === undefined || frame.length < bytes.length).toBe(true);
          for (const decoder of encoders) {
            if (frame === undefined || decoder === undefined) continue;
            const target = Buffer.alloc(bytes.length);
            expect(decoder.decompress(frame, target)).toBe(bytes.length);
            expect(target.equals(bytes)).toBe(true);
          }
          const broken = Buffer.concat([streamed.subarray(0, 8), other]);
          try {
            expect(zstd.decompress(broken, Buffer.alloc(1000))).toBeLessThanOrEqual(1000);
          } catch (error) {
            expect(error).toMatchObject({ code: 'BAD_STRUCTURE' });
          }
        }),
        { seed, numRuns: 100 },
      );
    });

    test('noise is not compressed, text is', () => {
      expect(zstd.compress(noise('x', 10_000))).toBeUndefined();
      expect(zstd.compress(text('x', 10_000))?.length).toBeLessThan(1000);
      expect(zstd.compress(Buffer.alloc(0))).toBeUndefined();
    });

    test('data of unknown length: up to the limit and not beyond', () => {
      const long = text('long', 3_000_000);
      const frame = zstd.compress(long);
      if (frame === undefined) throw new Error('text compresses');
      expect(decompressAtMost(zstd, frame, 3_000_000).equals(long)).toBe(true);
      expect(() => decompressAtMost(zstd, frame, 2_999_999)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
    });

    test('a frame that claims 2^60 bytes takes no memory', () => {
      const header = Buffer.concat([Buffer.from('28b52ffde0', 'hex'), Buffer.from([0, 0, 0, 0, 0, 0, 0, 0x10])]);
      const claim = Buffer.concat([header, streamed.subarray(6)]);
      expect(() => zstd.decompress(claim, Buffer.alloc(4096))).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
    });
  });
}

test('the first way that works is taken', async () => {
  const first = ways.find((_, i) => encoders[i] !== undefined);
  if (first === undefined) throw new Error('wasm works everywhere');
  expect((await loadZstd()).name).toBe(encoders[ways.indexOf(first)]?.name);
});
