/** Damaged archives lead to errors of ours, in bounded time and memory; random reading stays within the stream. */
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../src/errors.js';
import { decodeEntry, decodeName, decodePreamble, entryBytesMax } from '../../../src/format/pxar/entry-decoder.js';
import { encodeEntry, encodeName } from '../../../src/format/pxar/entry-encoder.js';
import { decodeGoodbyeTable, decodeGoodbyeTail } from '../../../src/format/pxar/goodbye.js';
import { encodeGoodbye } from '../../../src/format/pxar/goodbye-encoder.js';
import { nameHash } from '../../../src/format/pxar/name-hash.js';
import { PxarScanner } from '../../../src/format/pxar/scanner.js';
import { damages, resultOrCode } from '../../support/damage.js';
import { Random, seed } from '../../support/random.js';
import { archiveSources, complete, loadStream } from './streams.js';
import { attributesV1, join, metadata, tinyV2 } from './vectors.js';

const smallestItemBytes = 17;

/** Reads from the shortest windows to the end or the first error, and counts. */
function scanAll(stream: Buffer): number {
  const scanner = new PxarScanner();
  let windowBytes = 0;
  let events = 0;
  while (!scanner.finished) {
    const end = scanner.position + windowBytes;
    const event = scanner.next(stream.subarray(scanner.position, end), { atStreamEnd: end >= stream.length });
    if ('needBytes' in event) {
      if (event.needBytes <= windowBytes || event.needBytes > entryBytesMax + 8192)
        throw new Error(`asked for ${event.needBytes} bytes`);
      windowBytes = event.needBytes;
      continue;
    }
    events += 1;
    if (events > 2 + stream.length / smallestItemBytes) throw new Error('more events than there can be');
    windowBytes = 0;
  }
  if (scanner.position !== stream.length) throw new FormatError('TRUNCATED', 'the stream has another length');
  return events;
}

/** Visits what can be reached by goodbye tables, going on after errors. */
function walkAll(stream: Buffer): { entries: number; errors: number } {
  let entries = 0;
  let errors = 0;
  const attempt = <T>(run: () => T): T | undefined => {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      errors += 1;
      return undefined;
    }
  };
  const open = [{ start: 0, end: stream.length, root: true }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { start, end, root } = next;
    const directory = attempt(() => {
      const head = root ? decodePreamble(stream) : decodeName(stream.subarray(start, end));
      if ('needBytes' in head) throw new FormatError('TRUNCATED', 'head');
      const entry = complete(decodeEntry(stream.subarray(start + head.bytes, end), { atStreamEnd: true })).value;
      if (entry.kind !== 'directory') return undefined;
      const { tableBytes, entryDistance } = decodeGoodbyeTail(stream.subarray(Math.max(start, end - 24), end));
      const expectedDistance = end - tableBytes - (root ? 0 : start + head.bytes);
      if (entryDistance !== expectedDistance) throw new FormatError('BAD_STRUCTURE', 'the table of another directory');
      return { table: decodeGoodbyeTable(stream.subarray(end - tableBytes, end)), goodbyePosition: end - tableBytes };
    });
    entries += 1;
    if (entries > 2 + stream.length / smallestItemBytes) throw new Error('more entries than there can be');
    if (directory === undefined) continue;
    const { table, goodbyePosition } = directory;
    for (const slot of table.byArchiveOrder()) open.push({ ...table.range(slot, goodbyePosition), root: false });
  }
  return { entries, errors };
}

function checkDamaged(what: string, bytes: Buffer): void {
  resultOrCode(what, () => scanAll(bytes));
  resultOrCode(what, () => walkAll(bytes));
}

describe(`damage (seed ${seed})`, () => {
  it.each([
    { name: 'every kind of entry', stream: join(attributesV1) },
    { name: 'version 2', stream: join(tinyV2) },
  ])('every bit and every length: $name', ({ stream }) => {
    for (let at = 0; at < stream.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(stream);
        flipped[at] = (stream[at] ?? 0) ^ (1 << bit);
        checkDamaged(`bit ${bit} of ${at}`, flipped);
      }
      const cut = stream.subarray(0, at);
      if (!('code' in resultOrCode(`cut at ${at}`, () => scanAll(cut))))
        throw new Error(`a scan did not notice the cut at ${at}`);
      if (walkAll(cut).errors === 0) throw new Error(`no table told of the cut at ${at}`);
    }
  });

  it.each(archiveSources())('$label', async ({ meta }) => {
    const { bytes } = await loadStream(meta);
    // The beginning of a large archive; its tables are those of complete directories in it.
    const part = bytes.subarray(0, 40_000);
    for (const { what, bytes: damaged } of damages(part, 60, new Random(seed))) checkDamaged(what, damaged);
    if (bytes.length > 200_000) return;
    expect(walkAll(bytes).errors).toBe(0);
    for (const { what, bytes: damaged } of damages(bytes, 30, new Random(seed))) checkDamaged(what, damaged);
  });

  it('pieces of archives put together', async () => {
    const random = new Random(seed);
    const streams = await Promise.all(
      archiveSources().map(async ({ meta }) => (await loadStream(meta)).bytes.subarray(0, 40_000)),
    );
    for (let round = 0; round < 300; round++) {
      const [a, b] = [random.pick(streams), random.pick(streams)];
      checkDamaged(`round ${round}`, Buffer.concat([a.subarray(0, random.below(a.length)), b.subarray(random.below(b.length))]));
    }
  });

  it('noise', () => {
    const random = new Random(seed);
    for (let round = 0; round < 2000; round++) {
      checkDamaged(`round ${round}`, Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256))));
    }
  });
});

describe('tables that point where they should not', () => {
  const directory = encodeEntry({ kind: 'directory', metadata: metadata(0o40755) });

  /** Directories within directories, the table of each with an item for every one below it. */
  function nested(depth: number): Buffer {
    const names = Array.from({ length: depth }, (_, index) => Buffer.from(`d${index}`));
    const level = Buffer.concat([encodeName(Buffer.from('d0')), directory]).length;
    const heads = Buffer.concat([directory, ...names.map((name) => Buffer.concat([encodeName(name), directory]))]);
    const parts: Buffer[] = [heads];
    let position = heads.length;
    for (let open = depth; open >= 0; open--) {
      const children = names.slice(open).map((name, index) => ({
        hash: nameHash(name),
        position: 56 + (open + index) * level,
        size: position - 56 - (open + index) * level,
      }));
      const table = encodeGoodbye(children, {
        goodbyePosition: position,
        entryPosition: open === 0 ? 0 : 56 + open * level - 56,
      });
      parts.push(table);
      position += table.length;
    }
    return Buffer.concat(parts);
  }

  it('cannot make a tree of many entries out of few', () => {
    const stream = nested(9);
    expect(walkAll(stream).entries).toBeLessThanOrEqual(12);
  });

  it('cannot make a directory its own child', () => {
    const name = encodeName(Buffer.from('d'));
    const start = directory.length;
    const goodbyePosition = start + name.length + directory.length;
    const frame = { goodbyePosition, entryPosition: start + name.length };
    const self = { hash: nameHash(Buffer.from('d')), position: start, size: 1000 };
    const outward = Buffer.concat([encodeGoodbye([], frame), encodeGoodbye([self], frame)]);
    expect(resultOrCode('table', () => decodeGoodbyeTable(outward.subarray(40)))).toEqual({ code: 'BAD_STRUCTURE' });
    const rootTable = encodeGoodbye([{ ...self, size: 10_000 }], { goodbyePosition, entryPosition: 0 });
    const stream = Buffer.concat([directory, name, directory, rootTable]);
    const { entries, errors } = walkAll(stream);
    expect(entries).toBe(2);
    expect(errors).toBeGreaterThan(0);
  });
});
