/**
 * A pxar archive as a tree of nodes, read where it is asked for and nowhere else: opening a file reads the goodbye tables of the directories
 * on its path, its entry and its content. Format: pxar, sections 2.5 to 2.7.
 *
 * A node is known by a number that is true as long as the archive is: twice the position where a directory ends, or
 * twice the position of another entry's FILENAME header plus one.
 */
import { LRUCache } from 'lru-cache';
import { FileError, FormatError } from '../errors.js';
import type { Decoded } from '../format/decoded.js';
import type { PxarEntry } from '../format/pxar/entry.js';
import { decodeEntry, decodeName, decodePreamble } from '../format/pxar/entry-decoder.js';
import { decodeGoodbyeTable, decodeGoodbyeTail } from '../format/pxar/goodbye.js';
import { decodeItemHeader, goodbyeItemBytes, itemHeaderBytes } from '../format/pxar/item.js';
import { nameHash } from '../format/pxar/name-hash.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import { longerWindow, type ChunkStream } from './chunk-stream.js';
import { IndexedDirectory, type PxarDirectory } from './pxar-directory.js';
import { rebuildDirectory } from './pxar-rebuild.js';

export type NodeId = number;

export interface PxarNode {
  readonly id: NodeId;
  /** Never a hard link: those are resolved to what they point at. */
  readonly entry: PxarEntry;
  /** Of a file of a v1 archive: where its data begins. */
  readonly dataPosition: number;
}

export interface PxarChild extends PxarNode {
  readonly name: Buffer;
  /** Whether this name is a HARDLINK item. */
  readonly linked: boolean;
}

/** The bytes of a file: a part of one of the archive's streams. */
export interface PxarContentRange {
  readonly stream: ChunkStream;
  readonly offset: number;
  readonly size: number;
}

export interface PxarStreams {
  /** The archive, or the metadata part of a split one. */
  readonly meta: ChunkStream;
  readonly payload: ChunkStream | undefined;
}

export interface PxarTreeOptions {
  /** Where the root directory should end, if the stream may have lost its end. */
  readonly end?: number;
  /** Directories whose goodbye table is lost are found by walking through the archive, and headers that are lost are not missed. */
  readonly salvage?: boolean;
  /** False for who comes to each entry once: then none is kept. */
  readonly keepsNodes?: boolean;
}

const nodesKeptMax = 8192;
/** Kept goodbye tables together: 24 bytes a child. */
const childrenKeptMax = 1 << 20;

export const directoryId = (end: number): NodeId => end * 2;
export const entryId = (namePosition: number): NodeId => namePosition * 2 + 1;
const isDirectoryId = (id: NodeId): boolean => id % 2 === 0;
const positionOf = (id: NodeId): number => Math.floor(id / 2);

export class PxarTree {
  readonly streams: PxarStreams;
  readonly version: 1 | 2;
  readonly prelude: Buffer | undefined;
  readonly #end: number;
  readonly #rootEntryPosition: number;
  readonly #nodes: LRUCache<NodeId, PxarNode> | undefined;
  readonly #directories = new LRUCache<number, PxarDirectory>({ maxSize: childrenKeptMax, sizeCalculation: (directory) => directory.count + 1 });

  /** Only for salvage: where the entries of directories are, by their ends. The ends alone do not tell if a table is lost. */
  readonly #entryOfEnd: Map<number, number> | undefined;

  private constructor(streams: PxarStreams, options: PxarTreeOptions, preamble: { version: 1 | 2; prelude: Buffer | undefined }, rootEntryPosition: number) {
    this.streams = streams;
    this.version = preamble.version;
    this.prelude = preamble.prelude;
    this.#rootEntryPosition = rootEntryPosition;
    this.#nodes = options.keepsNodes === false ? undefined : new LRUCache({ max: nodesKeptMax });
    this.#end = options.end ?? streams.meta.size;
    this.#entryOfEnd = options.salvage === true ? new Map([[this.#end, rootEntryPosition]]) : undefined;
  }

  static async open(streams: PxarStreams, options: PxarTreeOptions = {}): Promise<PxarTree> {
    const { value, bytes } = await decodeAt(streams.meta, 0, decodePreamble);
    if ((value.version === 2) !== (streams.payload !== undefined)) {
      const what = value.version === 2 ? 'a split archive without its payload' : 'a payload beside an archive that is not split';
      throw new FormatError('BAD_STRUCTURE', `${streams.meta.path} is ${what}`);
    }
    return new PxarTree(streams, options, value, bytes);
  }

  get root(): NodeId {
    return directoryId(this.#end);
  }

  node(id: NodeId): MaybePromise<PxarNode> {
    const known = this.#nodes?.get(id);
    if (known !== undefined) return known;
    const position = positionOf(id);
    if (!isDirectoryId(id)) return andThen(this.#childAt(position, this.streams.meta.size), (child) => child);
    return andThen(this.directory(id), ({ entryPosition }) =>
      andThen(this.#entryAt(entryPosition), ({ entry, end }) => {
        if (entry.kind === 'directory') return this.#keep({ id, entry, dataPosition: end });
        throw new FormatError('BAD_STRUCTURE', `a directory of ${this.streams.meta.path} has the entry of a ${entry.kind}`);
      }),
    );
  }

  /** NOT_A_DIRECTORY if the node is none. */
  directory(id: NodeId): MaybePromise<PxarDirectory> {
    if (!isDirectoryId(id)) throw new FileError('NOT_A_DIRECTORY', 'not a directory');
    const end = positionOf(id);
    const known = this.#directories.get(end);
    if (known !== undefined) return known;
    return andThen(this.#readOrRebuild(end), (directory) => {
      this.#directories.set(end, directory);
      return directory;
    });
  }

  /** The child called `name`, or undefined. */
  lookup(id: NodeId, name: Buffer): MaybePromise<PxarChild | undefined> {
    return andThen(this.directory(id), (directory) => this.#findNamed(directory, directory.find(nameHash(name)), name));
  }

  child(directory: PxarDirectory, slot: number): MaybePromise<PxarChild> {
    const { start, end } = directory.range(slot);
    return this.#childAt(start, end);
  }

  /** Where the bytes of a file are; for a split archive this checks the header in front of them. */
  content(node: PxarNode): MaybePromise<PxarContentRange> {
    const { content } = node.entry;
    if (content === undefined) throw new FileError('INVALID_ARGUMENT', 'only regular files have content');
    const { meta, payload } = this.streams;
    if (content.where === 'inline') return checkedRange({ stream: meta, offset: node.dataPosition, size: content.size });
    if (payload === undefined) throw new FormatError('BAD_STRUCTURE', `${meta.path} refers to a payload that it does not have`);
    const range = checkedRange({ stream: payload, offset: content.offset + itemHeaderBytes, size: content.size });
    if (this.#entryOfEnd !== undefined) return range;
    return andThen(decodeAt(payload, content.offset, decodeItemHeader), ({ value }) => {
      if (value.type === 'PAYLOAD' && value.contentBytes === content.size) return range;
      throw new FormatError('BAD_STRUCTURE', `${payload.path} has no file of ${content.size} bytes at ${content.offset}, as its metadata says`);
    });
  }

  /** As many slots as a damaged table has children may have the hash of one name. */
  #findNamed(directory: PxarDirectory, slots: readonly number[], name: Buffer, from = 0): MaybePromise<PxarChild | undefined> {
    for (let i = from; i < slots.length; i++) {
      const { start, end } = directory.range(slots[i] ?? 0);
      const decoded = decodeAt(this.streams.meta, start, decodeName);
      if (decoded instanceof Promise) {
        return decoded.then(({ value }) => (value.equals(name) ? this.#childAt(start, end) : this.#findNamed(directory, slots, name, i + 1)));
      }
      if (decoded.value.equals(name)) return this.#childAt(start, end);
    }
    return undefined;
  }

  /** The entry whose FILENAME header is at `start`; `end` matters for directories only. */
  #childAt(start: number, end: number): MaybePromise<PxarChild> {
    const { meta } = this.streams;
    const decode = (window: Buffer): Decoded<NamedEntry> => decodeNamed(window, start + window.length >= meta.size);
    return andThen(decodeAt(meta, start, decode), ({ value: { name, nameBytes, entry }, bytes }) => {
      if (entry.hardlink !== undefined) return this.#linkTarget(start - entry.hardlink.distance, name);
      const id = entry.kind === 'directory' ? directoryId(end) : entryId(start);
      if (entry.kind === 'directory') this.#entryOfEnd?.set(end, start + nameBytes);
      return { ...this.#keep({ id, entry, dataPosition: start + bytes }), name, linked: false };
    });
  }

  #linkTarget(start: number, name: Buffer): MaybePromise<PxarChild> {
    const id = entryId(start);
    const known = this.#nodes?.get(id);
    if (known !== undefined) return { ...known, name, linked: true };
    if (start < 0) throw new FormatError('BAD_STRUCTURE', `a hard link in ${this.streams.meta.path} points before the archive`);
    return andThen(decodeAt(this.streams.meta, start, decodeName), ({ bytes }) =>
      andThen(this.#entryAt(start + bytes), ({ entry, end }) => {
        if (entry.kind === 'file') return { ...this.#keep({ id, entry, dataPosition: end }), name, linked: true };
        throw new FormatError('BAD_STRUCTURE', `a hard link in ${this.streams.meta.path} points at a ${entry.kind}`);
      }),
    );
  }

  #entryAt(position: number): MaybePromise<{ entry: PxarEntry; end: number }> {
    const { meta } = this.streams;
    const decode = (window: Buffer): Decoded<PxarEntry> => decodeEntry(window, { atStreamEnd: position + window.length >= meta.size });
    return andThen(decodeAt(meta, position, decode), ({ value, bytes }) => ({ entry: value, end: position + bytes }));
  }

  #readOrRebuild(end: number): MaybePromise<PxarDirectory> {
    const entryPosition = this.#entryOfEnd?.get(end);
    if (entryPosition === undefined) return this.#readDirectory(end);
    return (async () => {
      try {
        return await this.#readDirectory(end);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        return rebuildDirectory(this.streams.meta, entryPosition);
      }
    })();
  }

  #readDirectory(end: number): MaybePromise<PxarDirectory> {
    const { meta } = this.streams;
    return andThen(meta.window(end - goodbyeItemBytes, goodbyeItemBytes), (tailWindow) => {
      const tail = decodeGoodbyeTail(tailWindow.subarray(0, goodbyeItemBytes));
      const goodbyePosition = end - tail.tableBytes;
      const start = goodbyePosition - tail.entryDistance;
      const isRoot = end === this.#end;
      if (start < 0 || (isRoot && start !== 0)) throw new FormatError('BAD_STRUCTURE', `a directory of ${meta.path} begins before the archive`);
      return andThen(meta.window(goodbyePosition, tail.tableBytes), (window) => {
        const table = decodeGoodbyeTable(window.subarray(0, tail.tableBytes));
        return new IndexedDirectory(table, goodbyePosition, isRoot ? this.#rootEntryPosition : start);
      });
    });
  }

  #keep(node: PxarNode): PxarNode {
    this.#nodes?.set(node.id, node);
    return node;
  }
}

interface NamedEntry {
  readonly name: Buffer;
  /** Of its FILENAME item. */
  readonly nameBytes: number;
  readonly entry: PxarEntry;
}

function decodeNamed(window: Buffer, atStreamEnd: boolean): Decoded<NamedEntry> {
  const name = decodeName(window);
  if ('needBytes' in name) return name;
  const entry = decodeEntry(window.subarray(name.bytes), { atStreamEnd });
  if ('needBytes' in entry) return { needBytes: name.bytes + entry.needBytes };
  return { value: { name: name.value, nameBytes: name.bytes, entry: entry.value }, bytes: name.bytes + entry.bytes };
}

function checkedRange(range: PxarContentRange): PxarContentRange {
  if (range.offset + range.size <= range.stream.size) return range;
  throw new FormatError('TRUNCATED', `${range.stream.path} ends within a file`);
}

/** Decodes what begins at `position`, with as much of the stream as that needs. */
export function decodeAt<T>(
  stream: ChunkStream,
  position: number,
  decode: (window: Buffer) => Decoded<T>,
  bytesMin = 1,
): MaybePromise<{ value: T; bytes: number }> {
  return andThen(stream.window(position, bytesMin), (window) => {
    const decoded = decode(window);
    if (!('needBytes' in decoded)) return decoded;
    if (position + decoded.needBytes > stream.size) throw new FormatError('TRUNCATED', `${stream.path} ends within an item at ${position}`);
    return decodeAt(stream, position, decode, longerWindow(decoded.needBytes, window.length));
  });
}
