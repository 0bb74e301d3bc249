/** Every chunk of the fixture stores by every way to zstd, and everything that can be wrong with one. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { decodeBlob } from '../../src/codec/blob-decoder.js';
import { ChunkDecoder, type ChunkToDecode } from '../../src/codec/chunk-decoder.js';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { codeOf } from '../../src/errors.js';
import { decodeBlobHeader } from '../../src/format/blob.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { loadZstd, type ZstdWay } from '../../src/os/zstd/zstd.js';
import { chunksOf, encodeBlob, fixtureKeys, wrapPayload, zstd } from '../support/chunks.js';
import { storePath } from '../support/fixtures.js';
import { noise, Random, seed, text } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

const keys = fixtureKeys();
const directory = scratchDirectory();
const key = new EncryptionKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));
const otherKey = new EncryptionKey(Buffer.alloc(32, 9));

function keyOfChunk(file: Buffer): EncryptionKey | undefined {
  if (!decodeBlobHeader(file).encrypted) return undefined;
  return keys.find((candidate) => {
    try {
      return decodeBlob(file, zstd, candidate).length > 0;
    } catch {
      return false;
    }
  });
}

describe.each(['library', 'node', 'wasm'] as const)('with zstd by %s', (way: ZstdWay) => {
  test.each(['sample', 'vault'] as const)('every chunk of %s decodes to what its name says', async (name) => {
    const loaded = await loadZstd([way]).catch((error: unknown) => String(error));
    if (typeof loaded === 'string') {
      console.warn(`chunks are not decoded by this way on Node ${process.version}: ${loaded}`);
      expect(loaded).toContain('not available');
      return;
    }
    const decoder = new ChunkDecoder(loaded);
    const digests = chunksOf(storePath(name));
    expect(digests.length).toBeGreaterThan(30);
    for (const digest of digests) {
      const path = join(storePath(name), chunkPath(digest));
      const file = readFileSync(path);
      const chunkKey = keyOfChunk(file);
      const content = decodeBlob(file, zstd, chunkKey);
      const target = Buffer.from(new SharedArrayBuffer(content.length));
      decoder.decode({ path, digest, key: chunkKey }, target);
      expect(target.equals(content), path).toBe(true);
    }
  });
});

const decoder = new ChunkDecoder(zstd);
let files = 0;

function written(bytes: Buffer): string {
  const path = join(directory, `chunk-${files++}`);
  writeFileSync(path, bytes);
  return path;
}

/** Decodes `bytes` as the chunk of `content`; what stands around the target must stay. */
function decode(bytes: Buffer, content: Buffer, using: EncryptionKey | undefined, other: Partial<ChunkToDecode & { length: number }> = {}): Buffer {
  const path = written(bytes);
  const around = Buffer.from(new SharedArrayBuffer((other.length ?? content.length) + 64)).fill(0x55);
  const target = around.subarray(32, around.length - 32);
  try {
    decoder.decode({ path, digest: chunkDigest(content, using?.idKey), key: using, ...other }, target);
    return target;
  } finally {
    expect([...around.subarray(0, 32), ...around.subarray(around.length - 32)].every((byte) => byte === 0x55)).toBe(true);
    rmSync(path);
  }
}

const small = text('small', 300);
const random = noise('random', 300);
const kinds: [string, Buffer, EncryptionKey | undefined][] = [
  ['plain', random, undefined],
  ['zstd', small, undefined],
  ['encrypted', random, key],
  ['encrypted-zstd', small, key],
];

describe.each(kinds)('%s', (kind, content, using) => {
  const file = encodeBlob(content, { key: using });
  const isCorrupt = expect.objectContaining({ code: 'CHUNK_CORRUPT' }) as Error;

  test('decodes', () => {
    expect(decodeBlobHeader(file).kind).toBe(kind);
    expect(decode(file, content, using).equals(content)).toBe(true);
  });

  test('cut anywhere it is refused', () => {
    for (let length = 0; length < file.length; length++) {
      expect(() => decode(file.subarray(0, length), content, using), `cut to ${length}`).toThrow(isCorrupt);
    }
  });

  test('with any bit flipped it is refused', () => {
    for (let bit = 0; bit < file.length * 8; bit++) {
      const flipped = Buffer.from(file);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => decode(flipped, content, using), `bit ${bit}`).toThrow(isCorrupt);
    }
  });

  test.each([1, 12, 44, 4096])('with %i bytes more at its end it is refused', (bytes) => {
    expect(() => decode(Buffer.concat([file, noise('tail', bytes)]), content, using)).toThrow(isCorrupt);
  });

  test('with another digest, key, length or crypt mode it is refused', () => {
    expect(() => decode(file, content, using, { digest: chunkDigest(Buffer.concat([content, content])) })).toThrow(/another digest/);
    expect(() => decode(file, content, using, { length: content.length - 1 })).toThrow(isCorrupt);
    expect(() => decode(file, content, using, { length: content.length + 1 })).toThrow(/decodes to 300 bytes, the index says 301/);
    const opposite = using === undefined ? key : undefined;
    expect(() => decode(file, content, using, { key: opposite })).toThrow(using === undefined ? /it is not encrypted/ : /it is encrypted/);
    if (using === undefined) return;
    expect(() => decode(file, content, using, { key: otherKey })).toThrow(/does not decrypt/);
    // The digest of the plain content: what an archive would have that is not encrypted.
    expect(() => decode(file, content, using, { digest: chunkDigest(content) })).toThrow(/another digest/);
  });

  test('a wrong CRC over right data is refused', () => {
    const wrong = Buffer.from(file);
    wrong.writeUInt32LE((wrong.readUInt32LE(8) ^ 1) >>> 0, 8);
    expect(() => decode(wrong, content, using)).toThrow(/CRC-32/);
  });
});

test('a wrong tag or IV is refused although the CRC does not cover them', () => {
  const file = encodeBlob(random, { key });
  for (const at of [12, 27, 28, 43]) {
    const wrong = Buffer.from(file);
    wrong[at] = (wrong[at] ?? 0) ^ 0x80;
    expect(() => decode(wrong, random, key)).toThrow(/does not decrypt/);
  }
});

test('another chunk in its place, whole and of the same length, is refused', () => {
  expect(() => decode(encodeBlob(text('other', 300)), small, undefined)).toThrow(/another digest/);
});

test('a missing chunk is told from a damaged one; a directory, a fifo or an unknown magic is damaged', () => {
  const target = Buffer.alloc(10);
  const chunk = (path: string): ChunkToDecode => ({ path, digest: Buffer.alloc(32), key: undefined });
  const codeOfDecoding = (path: string): string | undefined => {
    try {
      decoder.decode(chunk(path), target);
      return 'none';
    } catch (error) {
      return codeOf(error);
    }
  };
  expect(codeOfDecoding(join(directory, 'none'))).toBe('CHUNK_MISSING');
  expect(codeOfDecoding(join(directory, 'none', 'deeper'))).toBe('CHUNK_MISSING');
  mkdirSync(join(directory, 'is-directory'));
  expect(codeOfDecoding(join(directory, 'is-directory'))).toBe('CHUNK_CORRUPT');
  execFileSync('mkfifo', [join(directory, 'is-fifo')]);
  expect(codeOfDecoding(join(directory, 'is-fifo'))).toBe('CHUNK_CORRUPT');
  expect(codeOfDecoding(written(Buffer.alloc(100)))).toBe('CHUNK_CORRUPT');
});

test('an empty file is told as what it is', () => {
  expect(() => decode(Buffer.alloc(0), small, undefined)).toThrow(/is empty/);
});

describe('compressed chunks of other lengths than their index says', () => {
  const bomb = zstd.compress(Buffer.alloc(15 << 20));
  if (bomb === undefined) throw new Error('zeros compress');

  test.each([1, 1 << 16, 1 << 20, (15 << 20) - 1])('15 MiB where %i bytes were expected', (length) => {
    const content = Buffer.alloc(length);
    expect(bomb.length).toBeLessThan(2000);
    expect(() => decode(wrapPayload(bomb, { compressed: true }), content, undefined)).toThrow(/damaged or decodes to more/);
    expect(() => decode(wrapPayload(bomb, { compressed: true, key }), content, key)).toThrow(/damaged or decodes to more/);
  });

  test('less than was expected', () => {
    const content = Buffer.alloc(16 << 20);
    expect(() => decode(wrapPayload(bomb, { compressed: true }), content, undefined)).toThrow(/decodes to 15728640 bytes/);
  });

  test('a file larger than any chunk is refused before it is read', () => {
    const path = written(Buffer.alloc(0));
    truncateSync(path, 1e12);
    expect(() => {
      decoder.decode({ path, digest: Buffer.alloc(32), key: undefined }, Buffer.alloc(1 << 24));
    }).toThrow(/more than any chunk/);
  });

  test.each([undefined, key])('16 MiB, the most there can be', (using) => {
    const content = noise('16 MiB', 1 << 24);
    expect(decode(encodeBlob(content, { key: using }), content, using).equals(content)).toBe(true);
    const letters = text('16 MiB', 1 << 24);
    expect(decode(encodeBlob(letters, { key: using }), letters, using).equals(letters)).toBe(true);
  });

  test('compressed to exactly the length of its content', () => {
    const content = text('equal', 1 << 16);
    const frame = zstd.compress(content) ?? Buffer.alloc(0);
    const filler = Buffer.alloc(content.length - frame.length);
    filler.writeUInt32LE(0x184d2a50, 0);
    filler.writeUInt32LE(filler.length - 8, 4);
    for (const using of [undefined, key]) {
      const file = wrapPayload(Buffer.concat([frame, filler]), { compressed: true, key: using });
      expect(decode(file, content, using).equals(content)).toBe(true);
    }
  });
});

test(`spliced files of two chunks are never taken for either (seed ${seed})`, () => {
  const numbers = new Random(seed);
  const contents = [text('a', 2000), text('b', 2000), noise('c', 2000)];
  for (let round = 0; round < 300; round++) {
    const using = numbers.pick([undefined, key]);
    const content = numbers.pick(contents);
    const [first, second] = [encodeBlob(content, { key: using }), encodeBlob(numbers.pick(contents), { key: using })];
    const spliced = Buffer.concat([first.subarray(0, numbers.below(first.length)), second.subarray(numbers.below(second.length))]);
    if (numbers.below(2) === 0 && spliced.length > 44) spliced.writeUInt32LE(crc32(spliced.subarray(using === undefined ? 12 : 44)), 8);
    let decoded: Buffer | undefined;
    try {
      decoded = decode(spliced, content, using);
    } catch (error) {
      expect(error).toMatchObject({ code: 'CHUNK_CORRUPT' });
    }
    expect(decoded === undefined || decoded.equals(content)).toBe(true);
  }
});
