/** Archives made of real directories, in memory: what is in the directory and what is in the archive, in the same words. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PxarTree } from '../../src/archive/pxar-tree.js';
import type { ArchiveSummary, ArchiveTreeOptions, PayloadStream, ReferenceTree } from '../../src/backup/archive-options.js';
import { archiveTree } from '../../src/backup/tree-archiver.js';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import { CatalogWriter } from '../../src/format/catalog-writer.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { encodeDynamicIndex, parseDynamicIndex, type DynamicIndex } from '../../src/format/dynamic-index.js';
import { PayloadChunker } from '../../src/format/payload-chunker.js';
import { aclXattrs } from '../../src/format/pxar/acl.js';
import { fileTypeMask, fileTypes, type PxarMetadata } from '../../src/format/pxar/entry.js';
import { chattrFlags } from '../../src/format/pxar/flags.js';
import { placesOf } from './archives.js';
import { writeChunk } from './chunks.js';
import { chattrBits, type ExpectedEntry } from './expected.js';
import { inodeFlagsBelow, xattrsBelow } from './expected-tree.js';
import { dynamicIndexOf, streamOver, type Shelf } from './streams.js';

const roomMax = (4 << 20) + (64 << 10);

/** Refuses what a stream with limited memory would not survive. */
class MemoryStream {
  readonly parts: Buffer[] = [];
  position = 0;
  #room = 0;

  room(bytes: number): Promise<void> | undefined {
    if (bytes > roomMax) throw new Error(`room for ${bytes} bytes at once`);
    this.#room = Math.max(this.#room, bytes);
    return this.position % 7 === 0 ? Promise.resolve() : undefined;
  }

  space(bytes: number): Buffer {
    if (bytes > this.#room) throw new Error(`space for ${bytes} bytes where there is room for ${this.#room}`);
    // Not zeros: what is not written must not come out as zeros.
    return Buffer.alloc(bytes, 0xa5);
  }

  write(bytes: Buffer): void {
    if (bytes.length > this.#room) throw new Error(`${bytes.length} bytes written where there is room for ${this.#room}`);
    this.#room -= bytes.length;
    this.parts.push(Buffer.from(bytes));
    this.position += bytes.length;
  }

  bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

type Injected = { readonly digest: Buffer; readonly length: number };

class MemoryPayload extends MemoryStream implements PayloadStream {
  readonly suggestions: number[] = [];
  readonly injections: { readonly position: number; readonly chunks: readonly Injected[] }[] = [];
  readonly #contents: Map<string, Buffer>;
  readonly #onRoom: (position: number) => void;

  constructor(contents: Map<string, Buffer>, onRoom: (position: number) => void) {
    super();
    this.#contents = contents;
    this.#onRoom = onRoom;
  }

  override room(bytes: number): Promise<void> | undefined {
    this.#onRoom(this.position);
    return super.room(bytes);
  }

  get bytesWritten(): number {
    return this.position - this.injections.flatMap(({ chunks }) => chunks).reduce((sum, { length }) => sum + length, 0);
  }

  suggest(position: number): void {
    this.suggestions.push(position);
  }

  inject(chunks: readonly Injected[]): void {
    if (chunks.length === 0 || chunks.length > 128) throw new Error(`${chunks.length} chunks injected at once`);
    this.injections.push({ position: this.position, chunks: chunks.map(({ digest, length }) => ({ digest: Buffer.from(digest), length })) });
    for (const { digest, length } of chunks) {
      const content = this.#contents.get(digest.toString('hex'));
      if (content?.length !== length) throw new Error('an injected chunk is none of the earlier payload');
      this.parts.push(content);
      this.position += length;
    }
  }

  /** The chunks of what was written, and those injected, as an index. */
  index(averageBytes: number, shelf: Shelf): DynamicIndex {
    const chunker = new PayloadChunker(averageBytes);
    for (const position of this.suggestions) chunker.suggest(position);
    const ends: number[] = [];
    const digests: Buffer[] = [];
    let start = 0;
    const add = (digest: Buffer, length: number): void => {
      start += length;
      ends.push(start);
      digests.push(digest);
    };
    const all = this.bytes();
    const put = (length: number): void => {
      if (length === 0) return;
      const content = all.subarray(start, start + length);
      const digest = chunkDigest(content);
      if (!this.#contents.has(digest.toString('hex'))) writeChunk(shelf.directory, content);
      this.#contents.set(digest.toString('hex'), Buffer.from(content));
      add(digest, length);
    };
    const scan = (to: number): void => {
      // As many bytes as lie between two injections are one piece, which is a valid way to cut.
      const piece = all.subarray(start, to);
      let at = 0;
      for (let cut = chunker.scan(piece, at); cut !== undefined; cut = chunker.scan(piece, at)) {
        put(cut.end - at);
        at = cut.end;
        if (cut.forced) return;
      }
    };
    for (const { position, chunks } of this.injections) {
      chunker.force(position, chunks.reduce((sum, { length }) => sum + length, 0));
      scan(position);
      if (start !== position) put(position - start);
      for (const { digest, length } of chunks) add(digest, length);
    }
    scan(all.length);
    put(all.length - start);
    return parseDynamicIndex(encodeDynamicIndex({ uuid: Buffer.alloc(16, 1), ctime: 0, ends, digests: Buffer.concat(digests) }));
  }
}

export interface MadeTree {
  readonly meta: Buffer;
  readonly payload: Buffer;
  /** Of a split archive. */
  readonly payloadIndex: DynamicIndex | undefined;
  readonly payloadBytesWritten: number;
  readonly injections: MemoryPayload['injections'];
  readonly catalog: Buffer;
  readonly summary: ArchiveSummary;
  readonly warnings: readonly string[];
}

export interface MakeOptions extends Partial<ArchiveTreeOptions> {
  readonly averageBytes?: number;
  /** Called before something is written to the payload. */
  readonly onRoom?: (position: number) => void;
}

/** Makes archives one after the other, so that later ones can reuse chunks of earlier ones. */
export class ArchiveMaker {
  readonly #shelf: Shelf;
  readonly #contents = new Map<string, Buffer>();

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
  }

  async make(source: string, { averageBytes = 64 << 10, onRoom = () => undefined, ...options }: MakeOptions = {}): Promise<MadeTree> {
    const { format = 'split', archiveName = 'root.pxar.didx' } = options;
    const meta = new MemoryStream();
    const payload = new MemoryPayload(this.#contents, onRoom);
    const catalogParts: Buffer[] = [];
    const writer = new CatalogWriter((bytes) => catalogParts.push(Buffer.from(bytes)));
    const warnings: string[] = [];
    const summary = await archiveTree({
      source, format, meta, archiveName,
      ...(format === 'split' ? { payload } : { catalog: { writer, flush: () => undefined } }),
      excludes: [], skipLostAndFound: false, allFileSystems: false, includeDevices: [], skipUnreadable: false, skipE2bigXattr: false, entriesMax: 1 << 20,
      warn: (line) => warnings.push(line),
      progress: () => undefined,
      signal: new AbortController().signal,
      ...options,
    });
    if (format === 'legacy') writer.finish();
    return {
      meta: meta.bytes(),
      payload: payload.bytes(),
      payloadIndex: format === 'split' ? payload.index(averageBytes, this.#shelf) : undefined,
      payloadBytesWritten: payload.bytesWritten,
      injections: payload.injections,
      catalog: Buffer.concat(catalogParts),
      summary,
      warnings,
    };
  }

  /** The same archive, its payload cut into other chunks. */
  recut(made: MadeTree, cuts: readonly number[]): MadeTree {
    const payloadIndex = parseDynamicIndex(dynamicIndexOf(this.#shelf.directory, made.payload, { cuts }));
    for (let n = 0; n < payloadIndex.count; n += 1) {
      this.#contents.set(payloadIndex.digestAt(n).toString('hex'), made.payload.subarray(payloadIndex.startOf(n), payloadIndex.endOf(n)));
    }
    return { ...made, payloadIndex };
  }

  /**
   * What the next archive of the same tree builds on. `reuse` says what is missing. `lost`: all of the metadata but its first 4 KiB cannot be
   * read any more.
   */
  async reference({ meta, payloadIndex }: MadeTree, { reuse = () => Promise.resolve([]), lost = false }: ReferenceOptions = {}): Promise<ReferenceTree> {
    if (payloadIndex === undefined) throw new Error('not split');
    const metaIndex = parseDynamicIndex(dynamicIndexOf(this.#shelf.directory, meta, { cuts: [lost ? 4096 : 64 << 10] }));
    const tree = await PxarTree.open({ meta: streamOver(this.#shelf, metaIndex), payload: streamOver(this.#shelf, payloadIndex) });
    if (lost) for (let n = 1; n < metaIndex.count; n += 1) rmSync(join(this.#shelf.directory, chunkPath(metaIndex.digestAt(n))), { force: true });
    return { tree, payloadIndex, reuse };
  }
}

export interface ReferenceOptions {
  readonly reuse?: ReferenceTree['reuse'];
  readonly lost?: boolean;
}

export interface Described {
  readonly [fact: string]: unknown;
}

const archivedChattr = Object.values(chattrBits).reduce((sum, bit) => sum | bit, 0);
const digestOf = (bytes: Buffer): string => `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`;

/** Everything that an archive can hold of each entry, by its path (latin1). Hard links: which path is the first name. */
export function describeTree(root: string, { attributes = true }: { readonly attributes?: boolean } = {}): Map<string, Described> {
  const found = new Map<string, Described>();
  const firstNames = new Map<string, string>();
  const xattrs = attributes ? xattrsBelow(root) : undefined;
  const visit = (path: Buffer): void => {
    const full = Buffer.concat([Buffer.from(`${root}/`), path]);
    const stat = lstatSync(full, { bigint: true });
    const key = path.toString('latin1');
    const mode = Number(stat.mode);
    const type = mode & fileTypeMask;
    const regular = type === fileTypes.regular;
    const inode = `${stat.dev}/${stat.ino}`;
    const first = regular && stat.nlink > 1n ? (firstNames.get(inode) ?? key) : undefined;
    if (first !== undefined) firstNames.set(inode, first);
    const device = type === fileTypes.blockDevice || type === fileTypes.characterDevice;
    found.set(key, {
      mode: mode.toString(8), owner: `${stat.uid}:${stat.gid}`, mtime: stat.mtimeNs,
      ...(regular && { content: digestOf(readFileSync(full)) }),
      ...(first !== undefined && first !== key && { linkTo: first }),
      ...(type === fileTypes.symlink && { target: readlinkSync(full, 'latin1') }),
      ...(device && { device: stat.rdev }),
      xattrs: sortedRecord(Object.fromEntries(Object.entries(xattrs?.get(path.toString('base64')) ?? {}).filter(([name]) => archivedNames.test(name)))),
    });
    if (type !== fileTypes.directory) return;
    for (const name of readdirSync(full, { encoding: 'buffer' }).sort((a, b) => a.compare(b))) {
      visit(path.length === 0 ? name : Buffer.concat([path, Buffer.from('/'), name]));
    }
  };
  visit(Buffer.alloc(0));
  if (attributes) addFlags(root, found);
  return found;
}

function addFlags(root: string, found: Map<string, Described>): void {
  const entries = [...found].filter(([, { mode }]) => /^(10|4)....$/.test(String(mode)));
  const asked = entries.map(([path]) => ({ path: Buffer.from(path, 'latin1').toString('base64'), type: 'file' }) as ExpectedEntry);
  for (const [path, text] of inodeFlagsBelow(root, asked)) {
    const [flags = '', project = ''] = text.split(' ');
    const key = Buffer.from(path, 'base64').toString('latin1');
    found.set(key, { ...found.get(key), flags: Number(flags) & archivedChattr, project: Number(project) });
  }
}

/** The same of an archive; of a split one the payload is needed. */
export function describeArchive({ meta, payload }: Pick<MadeTree, 'meta' | 'payload'>, { attributes = true }: { readonly attributes?: boolean } = {}): Map<string, Described> {
  const found = new Map<string, Described>();
  const pathAt = new Map<number, string>();
  for (const { path, event } of placesOf(meta)) {
    const { entry, namePosition, endPosition } = event;
    if (entry.hardlink !== undefined) {
      const first = pathAt.get(namePosition - entry.hardlink.distance) ?? 'nothing';
      if (entry.hardlink.target.toString('latin1') !== first) throw new Error(`the path of the hard link ${path} is not that of its target`);
      found.set(path, { ...found.get(first), linkTo: first });
      continue;
    }
    pathAt.set(namePosition, path);
    const { content, metadata, device, target } = entry;
    if (metadata === undefined) throw new Error(`${path} has no metadata`);
    const { mode, uid, gid, mtime, flags, projectId } = metadata;
    const plain = (mode & fileTypeMask) === fileTypes.regular || (mode & fileTypeMask) === fileTypes.directory;
    found.set(path, {
      mode: mode.toString(8), owner: `${uid}:${gid}`, mtime: BigInt(mtime.sec) * 1_000_000_000n + BigInt(mtime.nsec),
      ...(content?.where === 'inline' && { content: digestOf(meta.subarray(endPosition - content.size, endPosition)) }),
      ...(content?.where === 'payload' && { content: digestOf(payloadContent(payload, content)) }),
      ...(target !== undefined && { target: target.toString('latin1') }),
      ...(device !== undefined && { device: makedev(device.major, device.minor) }),
      xattrs: attributes ? archivedXattrs(metadata) : {},
      ...(attributes && plain && { flags: chattrFlags(flags), project: projectId ?? 0 }),
    });
  }
  return found;
}

function payloadContent(payload: Buffer, { offset, size }: { readonly offset: number; readonly size: number }): Buffer {
  const header = Buffer.from('251a7c0b1b7a1428', 'hex');
  const right = payload.subarray(offset, offset + 8).equals(header) && Number(payload.readBigUInt64LE(offset + 8)) === size + 16;
  if (!right) throw new Error(`the payload has no file of ${size} bytes at ${offset}`);
  return payload.subarray(offset + 16, offset + 16 + size);
}

function archivedXattrs(metadata: PxarMetadata): Record<string, string> {
  const { access, default: defaults } = aclXattrs(metadata);
  const all: [string, Buffer][] = metadata.xattrs.map(({ name, value }) => [name.toString('latin1'), value]);
  if (access !== undefined) all.push(['system.posix_acl_access', access]);
  if (defaults !== undefined) all.push(['system.posix_acl_default', defaults]);
  if (metadata.fcaps !== undefined) all.push(['security.capability', metadata.fcaps]);
  return sortedRecord(Object.fromEntries(all.map(([name, value]) => [name, digestOf(value)])));
}

const archivedNames = /^(user\.|trusted\.|security\.(NTACL|capability)$|system\.posix_acl_)/;

function sortedRecord(record: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function makedev(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)];
  return ((a & 0xffff_f000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffff_ff00n) << 12n) | (b & 0xffn);
}
