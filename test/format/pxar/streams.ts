/** The archives, catalogs and their indexes out of the fixture stores, decoded, and both ways of reading an archive. */
import { expect } from 'vitest';
import { parseDynamicIndex } from '../../../src/format/dynamic-index.js';
import { decodeEntry, decodeName, decodePreamble } from '../../../src/format/pxar/entry-decoder.js';
import type { PxarEntry } from '../../../src/format/pxar/entry.js';
import { decodeGoodbyeTable, decodeGoodbyeTail, type GoodbyeTable } from '../../../src/format/pxar/goodbye.js';
import { itemHeaderBytes } from '../../../src/format/pxar/item.js';
import { nameHash } from '../../../src/format/pxar/name-hash.js';
import { PxarScanner, type ScanEvent } from '../../../src/format/pxar/scanner.js';
import type { Decoded } from '../../../src/format/decoded.js';
import type { FixtureStore } from '../../support/fixtures.js';
import {
  decodeStored,
  finishedSnapshots,
  fixtureKey,
  fixtureStores,
  readStored,
  type ExpectedSnapshot,
} from '../../support/stored-files.js';
import { chunkPath } from '../../../src/format/chunk-path.js';

export interface StreamSource {
  readonly store: FixtureStore;
  readonly snapshot: ExpectedSnapshot;
  readonly filename: string;
}

export interface Stream {
  readonly bytes: Buffer;
  readonly chunkEnds: readonly number[];
}

export interface ArchiveSource {
  readonly label: string;
  readonly store: FixtureStore;
  readonly snapshot: ExpectedSnapshot;
  /** as the expected files name it: NAME.pxar */
  readonly name: string;
  readonly version: 1 | 2;
  readonly meta: StreamSource;
  readonly payload: StreamSource | undefined;
}

/** All streams with this ending of their name. */
export function streamSources(ending: string): StreamSource[] {
  return fixtureStores.flatMap((store) =>
    finishedSnapshots(store).flatMap((snapshot) =>
      snapshot.files.flatMap(({ filename }) => (filename.endsWith(ending) ? [{ store, snapshot, filename }] : [])),
    ),
  );
}

export function archiveSources(): ArchiveSource[] {
  const whole = streamSources('.pxar.didx').map((meta) => archive(meta, 1, undefined));
  const split = streamSources('.mpxar.didx').map((meta) =>
    archive(meta, 2, { ...meta, filename: meta.filename.replace('.mpxar', '.ppxar') }),
  );
  return [...whole, ...split];
}

function archive(meta: StreamSource, version: 1 | 2, payload: StreamSource | undefined): ArchiveSource {
  const name = meta.filename.replace(/\.m?pxar\.didx$/, '.pxar');
  return {
    label: `${meta.store} ${meta.snapshot.path} ${name}`,
    store: meta.store,
    snapshot: meta.snapshot,
    name,
    version,
    meta,
    payload,
  };
}

export async function loadStream({ store, snapshot, filename }: StreamSource): Promise<Stream> {
  const index = parseDynamicIndex(readStored(store, snapshot.path, filename));
  const file = snapshot.files.find((candidate) => candidate.filename === filename);
  const key = file?.['crypt-mode'] === 'encrypt' && snapshot.fingerprint !== null ? fixtureKey(snapshot.fingerprint) : undefined;
  const chunks: Buffer[] = [];
  const chunkEnds: number[] = [];
  for (let i = 0; i < index.count; i++) {
    const encoded = readStored(store, chunkPath(index.digestAt(i)));
    chunks.push(await decodeStored(encoded, index.endOf(i) - index.startOf(i), key));
    chunkEnds.push(index.endOf(i));
  }
  return { bytes: Buffer.concat(chunks), chunkEnds };
}

/** The value and bytes of a decoder that is given all there is. */
export function complete<T>(decoded: Decoded<T>): { value: T; bytes: number } {
  if ('needBytes' in decoded) throw new Error(`the decoder wants ${decoded.needBytes} bytes`);
  return decoded;
}

/** Events of a scan, from windows that reach to the end of the stream. */
export function* scan(stream: Buffer, scanner = new PxarScanner()): Generator<ScanEvent> {
  while (!scanner.finished) {
    const event = scanner.next(stream.subarray(scanner.position), { atStreamEnd: true });
    if ('needBytes' in event) throw new Error('a window that ends with the stream cannot be too short');
    yield event;
  }
}

/** Events of a scan, from windows that are never longer than the scanner asked for. */
export function* scanByNeed(stream: Buffer, scanner = new PxarScanner()): Generator<ScanEvent> {
  let windowBytes = 0;
  while (!scanner.finished) {
    const end = scanner.position + windowBytes;
    const event = scanner.next(Buffer.from(stream.subarray(scanner.position, end)), { atStreamEnd: end >= stream.length });
    if ('needBytes' in event) {
      if (event.needBytes <= windowBytes) throw new Error(`asked for ${event.needBytes} bytes of ${windowBytes}`);
      windowBytes = event.needBytes;
      continue;
    }
    yield event;
    windowBytes = 0;
  }
}

export interface FoundEntry {
  readonly path: Buffer;
  readonly namePosition: number;
  readonly entryPosition: number;
  /** behind the items in front of a file's data */
  readonly itemsEnd: number;
  readonly entry: PxarEntry;
  readonly table: GoodbyeTable | undefined;
  readonly goodbyePosition: number | undefined;
}

interface Pending {
  readonly path: Buffer;
  readonly namePosition: number;
  readonly end: number;
}

/** All entries in archive order, found by goodbye tables alone. Every name is also looked up by its hash. */
export function* walk(stream: Buffer): Generator<FoundEntry> {
  const open: Pending[] = [{ path: Buffer.alloc(0), namePosition: -1, end: stream.length }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const found = entryAt(stream, next);
    const { table, goodbyePosition } = found;
    yield found;
    if (table === undefined || goodbyePosition === undefined) continue;
    for (const slot of table.byArchiveOrder().toReversed()) {
      const { start, end } = table.range(slot, goodbyePosition);
      const name = complete(decodeName(stream.subarray(start, end))).value;
      if (!table.find(nameHash(name)).includes(slot)) throw new Error(`${name.toString()} is not found by its name`);
      open.push({
        path: next.path.length === 0 ? name : Buffer.concat([next.path, Buffer.from('/'), name]),
        namePosition: start,
        end,
      });
    }
  }
}

function entryAt(stream: Buffer, { path, namePosition, end }: Pending): FoundEntry {
  const isRoot = namePosition < 0;
  const head = isRoot ? decodePreamble(stream) : decodeName(stream.subarray(namePosition, end));
  const entryPosition = Math.max(0, namePosition) + complete<unknown>(head).bytes;
  const { value: entry, bytes } = complete(decodeEntry(stream.subarray(entryPosition, end), { atStreamEnd: true }));
  const itemsEnd = entryPosition + bytes;
  if (entry.kind !== 'directory') {
    return { path, namePosition, entryPosition, itemsEnd, entry, table: undefined, goodbyePosition: undefined };
  }
  const { entryDistance, tableBytes } = decodeGoodbyeTail(stream.subarray(end - 24, end));
  const goodbyePosition = end - tableBytes;
  expect(goodbyePosition - entryDistance).toBe(isRoot ? 0 : entryPosition);
  const table = decodeGoodbyeTable(stream.subarray(goodbyePosition, end));
  return { path, namePosition, entryPosition, itemsEnd, entry, table, goodbyePosition };
}

/** Content of a regular file, after the checks that belong to it. */
export function contentOf(entry: PxarEntry, itemsEnd: number, meta: Buffer, payload: Buffer | undefined): Buffer {
  const { content } = entry;
  if (content === undefined) throw new Error('not a file');
  if (content.where === 'inline') return meta.subarray(itemsEnd, itemsEnd + content.size);
  if (payload === undefined) throw new Error('no payload stream');
  const start = content.offset + itemHeaderBytes;
  expect(payload.readBigUInt64LE(content.offset)).toBe(0x28147a1b0b7c1a25n);
  expect(payload.readBigUInt64LE(content.offset + 8)).toBe(BigInt(itemHeaderBytes + content.size));
  return payload.subarray(start, start + content.size);
}
