/** Backups that read only what changed, beside those that read all. */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { parseChangedBitmap, parseChangedJson, type ChangedBlocks } from '../../src/backup/changed-list.js';
import { dirtyBitmapStatus, type DirtyBitmapFacts, type PreviousImage } from '../../src/backup/dirty-bitmap.js';
import { openImageSource } from '../../src/backup/image-source.js';
import { writeImage, type WrittenImage } from '../../src/backup/image-writer.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { encodeFixedIndex, parseFixedIndex, type FixedIndex } from '../../src/format/fixed-index.js';
import { chunkSession, type ChunkSession } from '../support/chunk-session.js';
import { fixtureKeys } from '../support/chunks.js';
import { noise, Random, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

const mib = 1 << 20;
const chunk = 4 * mib;
const filename = 'disk.img.fidx';
const path = join(scratchDirectory(), 'disk');

const sessions: ChunkSession[] = [];
function session(options?: Parameters<typeof chunkSession>[0]): ChunkSession {
  const opened = chunkSession(options);
  sessions.push(opened);
  return opened;
}
afterEach(async () => {
  for (const opened of sessions.splice(0)) {
    expect(opened.memoryBytesTaken()).toBe(0);
    await opened.close();
  }
});

async function backUp(into: ChunkSession, changed?: { blocks: ChangedBlocks; previousIndex: FixedIndex }): Promise<WrittenImage & { warnings: string[] }> {
  const warnings: string[] = [];
  const source = await openImageSource(path);
  try {
    return { ...(await writeImage({ target: into.openIndex(filename), filename, source, changed, warn: (line) => warnings.push(line) })), warnings };
  } finally {
    await source.close();
  }
}

function ranges(list: readonly { start: number; length: number }[]): ChangedBlocks {
  return parseChangedJson(Buffer.from(JSON.stringify(list)), 'list');
}

describe('the same as a full read', () => {
  const small = 64 << 10;
  // Content that is quick to make and to store: zeros with a few marks.
  const image = fc.record({
    size: fc.oneof(fc.integer({ min: 1, max: 10 * chunk }), fc.integer({ min: 1, max: 10 }).map((chunks) => chunks * chunk)),
    marks: fc.array(fc.nat(), { maxLength: 12 }),
    writes: fc.array(fc.record({ at: fc.nat(), length: fc.integer({ min: 1, max: 2 * mib }) }), { maxLength: 5 }),
    surplus: fc.array(fc.record({ at: fc.nat(), length: fc.integer({ min: 0, max: 2 * mib }) }), { maxLength: 3 }),
    asBitmap: fc.boolean(),
  });

  test(`random images and random writes, listed as ranges and as bitmaps (seed ${seed})`, async () => {
    const into = session();
    let version = 0;
    await fc.assert(
      fc.asyncProperty(image, async ({ size, marks, writes, surplus, asBitmap }) => {
        const content = Buffer.alloc(size);
        for (const mark of marks) content.write(`mark ${mark}`, mark % size);
        writeFileSync(path, content);
        await backUp(into);
        const previousIndex = into.index(filename);

        const written = writes.map(({ at, length }) => ({ start: at % size, length: Math.min(length, size - (at % size)) }));
        for (const { start, length } of written) content.fill(`write ${version++} `, start, start + length);
        writeFileSync(path, content);
        const dirty = [...written, ...surplus.map(({ at, length }) => ({ start: at % size, length: Math.min(length, size - (at % size)) }))];
        const blocks = asBitmap ? parseChangedBitmap(bitmapOf(dirty, size, small), small, 'map') : ranges(dirty);

        const again = await backUp(into, { blocks, previousIndex });
        const full = await backUp(into);
        expect(again).toMatchObject({ size, csum: full.csum, warnings: [] });
        const dirtyChunks = new Set(dirty.filter(({ length }) => length > 0).flatMap(({ start, length }) => chunksOf(start, start + length)));
        const dirtyBytes = [...dirtyChunks].reduce((sum, i) => sum + Math.min(chunk, size - i * chunk), 0);
        expect(again.figures).toMatchObject({ bytes: size, bytesRead: dirtyBytes, bytesUnchanged: size - dirtyBytes, chunks: Math.ceil(size / chunk) });
        expect((await into.content(into.index(filename))).equals(content)).toBe(true);
      }),
      { seed, numRuns: 20 },
    );
  });

  test('encrypted', async () => {
    const [key] = fixtureKeys();
    const into = session({ key });
    const content = noise('secret', 5 * chunk + 100);
    writeFileSync(path, content);
    await backUp(into);
    const previousIndex = into.index(filename);
    content.fill(7, 2 * chunk + 5, 2 * chunk + 10);
    writeFileSync(path, content);
    const again = await backUp(into, { blocks: ranges([{ start: 2 * chunk + 5, length: 5 }]), previousIndex });
    expect(again.figures).toMatchObject({ bytesRead: chunk, bytesAdded: chunk });
    expect((await into.content(into.index(filename))).equals(content)).toBe(true);
  });

  test('a large image of which nothing changed takes no time', async () => {
    const into = session();
    writeFileSync(path, '');
    truncateSync(path, 256 * 1024 * mib);
    await backUp(into);
    const begun = performance.now();
    const { figures } = await backUp(into, { blocks: ranges([]), previousIndex: into.index(filename) });
    expect(performance.now() - begun).toBeLessThan(2000);
    expect(figures).toMatchObject({ bytes: 256 * 1024 * mib, bytesRead: 0, bytesUnchanged: 256 * 1024 * mib });
  });
});

function bitmapOf(dirty: readonly { start: number; length: number }[], size: number, granularity: number): Buffer {
  const bits = Math.ceil(size / granularity);
  const bitmap = Buffer.alloc(Math.ceil(bits / 8));
  for (const { start, length } of dirty) {
    for (let bit = Math.floor(start / granularity); bit * granularity < start + length; bit++) {
      bitmap[bit >> 3] = (bitmap[bit >> 3] ?? 0) | (1 << (bit & 7));
    }
  }
  return bitmap;
}

function chunksOf(start: number, end: number): number[] {
  const first = Math.floor(start / chunk);
  return Array.from({ length: Math.ceil(end / chunk) - first }, (_, i) => first + i);
}

test(`chunks that the store has lost are read again, with a warning (seed ${seed})`, async () => {
  const random = new Random(seed);
  const into = session();
  const content = noise(`lost ${seed}`, 8 * chunk + 5);
  writeFileSync(path, content);
  const first = await backUp(into);
  await into.close();
  const previousIndex = into.index(filename);
  const lost = [...new Set([random.below(9), random.below(9)])];
  rmSync(join(into.store, chunkPath(previousIndex.digestAt(lost[0] ?? 0))));
  if (lost[1] !== undefined) writeFileSync(join(into.store, chunkPath(previousIndex.digestAt(lost[1]))), '');

  const later = session({ store: into.store });
  const again = await backUp(later, { blocks: ranges([]), previousIndex });
  expect(again.csum).toBe(first.csum);
  expect(again.warnings).toEqual([`${lost.length} chunks of the previous backup are missing or damaged and are read again; verify its snapshots`]);
  expect(again.figures.bytesRead).toBe(lost.reduce((sum, i) => sum + Math.min(chunk, content.length - i * chunk), 0));
  expect((await later.content(later.index(filename))).equals(content)).toBe(true);
});

describe('whether a list may be believed', () => {
  const size = 3 * chunk;
  const digests = noise('digests', 3 * 32);
  const parts = { uuid: Buffer.alloc(16), ctime: 0, size, chunkSize: chunk, digests };
  const index = parseFixedIndex(encodeFixedIndex(parts));
  const csum = index.csum.toString('hex');
  const [key, otherKey] = fixtureKeys();
  const previous = (changes: Partial<PreviousImage['file']> = {}, others: Partial<PreviousImage> = {}): PreviousImage => ({
    file: { filename, cryptMode: 'none', size, csum, ...changes },
    index,
    keyFingerprint: undefined,
    ...others,
  });
  const facts: DirtyBitmapFacts = { changed: ranges([{ start: 0, length: 1 }]), size, cryptMode: 'none', keyFingerprint: undefined, previous: previous() };
  const status = (changes: Partial<DirtyBitmapFacts>): string => dirtyBitmapStatus({ ...facts, ...changes });
  const encrypted = { cryptMode: 'encrypt', keyFingerprint: key?.fingerprint } as const;

  test('it is', () => {
    expect(status({})).toBe('OK');
    expect(status({ changed: { ...facts.changed, since: csum } })).toBe('OK');
    expect(status({ cryptMode: 'sign-only', keyFingerprint: key?.fingerprint })).toBe('OK');
    expect(status({ previous: previous({ cryptMode: 'sign-only' }, { keyFingerprint: otherKey?.fingerprint }) })).toBe('OK');
    expect(status({ ...encrypted, previous: previous({ cryptMode: 'encrypt' }, { keyFingerprint: key?.fingerprint }) })).toBe('OK');
    // The last bit of a bitmap reaches beyond the image.
    expect(status({ changed: parseChangedBitmap(Buffer.from([0b1]), 2 ** 24, 'map') })).toBe('OK');
  });

  test('the image is a stream', () => expect(status({ size: undefined })).toBe('standard input can only be read whole'));
  test('no previous image', () => expect(status({ previous: 'the group is new' })).toBe('the group is new'));
  test('another size', () => expect(status({ size: size + 512 })).toBe(`the image had ${size} bytes and has ${size + 512} now`));
  test('chunks of another size', () => {
    const other = parseFixedIndex(encodeFixedIndex({ ...parts, chunkSize: chunk / 2, digests: noise('more', 6 * 32) }));
    expect(status({ previous: previous({}, { index: other }) })).toBe('the previous index has chunks of 2097152 bytes');
  });
  test('an index that is not that of its manifest', () => {
    for (const changes of [{ csum: '00'.repeat(32) }, { size: size - 1 }]) expect(status({ previous: previous(changes) })).toMatch(/^the previous index is damaged/);
    const bytes = encodeFixedIndex(parts);
    bytes[5000 % bytes.length] = (bytes[5000 % bytes.length] ?? 0) ^ 1;
    const last = bytes.length - 1;
    bytes[last] = (bytes[last] ?? 0) ^ 1;
    expect(status({ previous: previous({}, { index: parseFixedIndex(bytes) }) })).toMatch(/^the previous index is damaged/);
  });
  test('begun after another backup', () => {
    const since = 'ab'.repeat(32);
    expect(status({ changed: { ...facts.changed, since } })).toBe(`the previous index has the checksum ${csum}, the changes are those since ${since}`);
  });
  test('encrypted before, or now', () => {
    expect(status({ previous: previous({ cryptMode: 'encrypt' }) })).toBe('the previous image is encrypted, the new one will not be');
    expect(status(encrypted)).toBe('the previous image is not encrypted, the new one will be');
  });
  test('encrypted by another key', () => {
    const other = previous({ cryptMode: 'encrypt' }, { keyFingerprint: otherKey?.fingerprint });
    expect(status({ ...encrypted, previous: other })).toBe(`the previous image is encrypted with the key ${otherKey?.fingerprintText ?? ''}`);
    expect(status({ ...encrypted, previous: previous({ cryptMode: 'encrypt' }) })).toMatch(/does not say with which key/);
  });
  test('a list of another image', () => {
    expect(status({ changed: parseChangedBitmap(Buffer.alloc(1), 512, 'map') })).toBe(`the bitmap covers 4096 bytes, the image has ${size}`);
    expect(status({ changed: parseChangedBitmap(Buffer.from([0b1000]), chunk, 'map') })).toMatch(/^the changes reach beyond/);
    expect(status({ changed: ranges([{ start: size + mib, length: 1 }]) })).toMatch(/^the changes reach beyond/);
  });
});
