/** Archives made of sketches: a directory is an object, a file its content, other things say what they are. */
import { CatalogWriter } from '../../src/format/catalog-writer.js';
import { fileTypes, type PxarMetadata } from '../../src/format/pxar/entry.js';
import { encodeEntry, encodeName } from '../../src/format/pxar/entry-encoder.js';
import { encodeGoodbye } from '../../src/format/pxar/goodbye-encoder.js';
import type { U64 } from '../../src/format/pxar/u64.js';
import { PxarWriter } from '../../src/format/pxar/writer.js';
import { PxarScanner, type ScanEvent } from '../../src/format/pxar/scanner.js';

/** Names are latin1: any bytes. */
export interface Sketch {
  readonly [name: string]: Sketch | Buffer | string | Special;
}

/** `linkTo` is a path, `to` the target of a symbolic link. */
export type Special = { readonly linkTo: string } | { readonly to: string } | Fifo;
const fifoMark: unique symbol = Symbol('fifo');
interface Fifo {
  readonly [fifoMark]: true;
}
export const fifo: Fifo = { [fifoMark]: true };

export interface MadeArchive {
  readonly meta: Buffer;
  readonly payload: Buffer | undefined;
  /** With the archive as `root.pxar.didx`. */
  readonly catalog: Buffer;
}

export function metadata(type: keyof typeof fileTypes, permissions = 0o644, others: Partial<PxarMetadata> = {}): PxarMetadata {
  return {
    mode: fileTypes[type] | permissions,
    flags: { hi: 0, lo: 0 },
    uid: 1000,
    gid: 1000,
    mtime: { sec: 1_600_000_000, nsec: 123_456_789 },
    xattrs: [],
    acl: undefined,
    fcaps: undefined,
    projectId: undefined,
    ...others,
  };
}

/** Entries in the order of their names' bytes, as clients write them. */
export function archiveOf(sketch: Sketch, version: 1 | 2 = 1): MadeArchive {
  const parts = { meta: [] as Buffer[], payload: [] as Buffer[], catalog: [] as Buffer[] };
  const sink = (list: Buffer[]) => (bytes: Buffer): void => void list.push(bytes);
  const root = metadata('directory', 0o755);
  const meta = sink(parts.meta);
  const writer = new PxarWriter(version === 1 ? { version, meta } : { version, meta, payload: sink(parts.payload) }, root);
  const catalog = new CatalogWriter(sink(parts.catalog));
  const positions = new Map<string, number>();
  catalog.openDirectory(Buffer.from('root.pxar.didx'));
  writeInto(writer, catalog, positions, sketch, '');
  catalog.closeDirectory();
  catalog.finish();
  writer.finish();
  return { meta: Buffer.concat(parts.meta), payload: version === 2 ? Buffer.concat(parts.payload) : undefined, catalog: Buffer.concat(parts.catalog) };
}

function writeInto(writer: PxarWriter, catalog: CatalogWriter, positions: Map<string, number>, sketch: Sketch, prefix: string): void {
  const children = Object.entries(sketch).map(([text, value]) => ({ text, name: Buffer.from(text, 'latin1'), value }));
  for (const { text, name, value } of children.sort((a, b) => a.name.compare(b.name))) {
    const path = `${prefix}${text}`;
    positions.set(path, writer.metaPosition);
    if (typeof value === 'string' || Buffer.isBuffer(value)) {
      const content = Buffer.from(value);
      writer.addFile(name, metadata('regular'), content.length);
      writer.write(content);
      catalog.add({ kind: 'file', name, size: content.length, mtimeSec: 1_600_000_000 });
    } else if (fifoMark in value) {
      writer.addSpecial(name, { kind: 'fifo', metadata: metadata('fifo') });
      catalog.add({ kind: 'fifo', name });
    } else if (isLink(value)) {
      writer.addHardlink(name, positions.get(value.linkTo) ?? 0, Buffer.from(value.linkTo, 'latin1'));
      catalog.add({ kind: 'hardlink', name });
    } else if (isSymlink(value)) {
      writer.addSpecial(name, { kind: 'symlink', metadata: metadata('symlink', 0o777), target: Buffer.from(value.to, 'latin1') });
      catalog.add({ kind: 'symlink', name });
    } else {
      writer.openDirectory(name, metadata('directory', 0o755));
      catalog.openDirectory(name);
      writeInto(writer, catalog, positions, value, `${path}/`);
      catalog.closeDirectory();
      writer.closeDirectory();
    }
  }
}

function isLink(value: Sketch | Special): value is { linkTo: string } {
  return typeof (value as { linkTo?: unknown }).linkTo === 'string';
}

function isSymlink(value: Sketch | Special): value is { to: string } {
  return typeof (value as { to?: unknown }).to === 'string';
}

export interface HandmadeChild {
  readonly name: string;
  /** The whole child: its FILENAME item and what follows, at `position` of the archive. */
  readonly bytes: Buffer;
  /** What the table says of it. */
  readonly hash: U64;
  readonly size?: number;
  /** Where the table says that it begins. */
  readonly position?: number;
}

/** A v1 archive of one directory whose table says what it is told to. */
export function handmadeArchive(children: readonly HandmadeChild[], frame: { entry?: Buffer; entryPosition?: number } = {}): Buffer {
  const entry = frame.entry ?? encodeEntry({ kind: 'directory', metadata: metadata('directory') });
  let at = entry.length;
  const listed = children.map(({ bytes, hash, size, position }) => {
    const own = { hash, position: position ?? at, size: size ?? bytes.length };
    at += bytes.length;
    return own;
  });
  const table = encodeGoodbye(listed, { goodbyePosition: at, entryPosition: frame.entryPosition ?? 0 });
  return Buffer.concat([entry, ...children.map(({ bytes }) => bytes), table]);
}

/** The items of a regular file of a v1 archive. */
export function fileItems(name: string, content: Buffer): Buffer {
  const entry = encodeEntry({ kind: 'file', metadata: metadata('regular'), content: { where: 'inline', size: content.length } });
  return Buffer.concat([encodeName(Buffer.from(name, 'latin1')), entry, content]);
}

export interface Place {
  /** Path below the root, its names joined by slashes; empty for the root. */
  readonly path: string;
  readonly event: Extract<ScanEvent, { type: 'entry' }>;
  /** Of a directory: where its table begins and ends. */
  table: { readonly start: number; readonly end: number } | undefined;
}

/** Where everything lies in a stream, in its order, as a walk from front to back finds it. */
export function placesOf(meta: Buffer): Place[] {
  const scanner = new PxarScanner();
  const places: Place[] = [];
  const open: Place[] = [];
  while (!scanner.finished) {
    const event = scanner.next(meta.subarray(scanner.position), { atStreamEnd: true });
    if ('needBytes' in event) throw new Error('the window is the whole stream');
    if (event.type === 'directoryEnd') {
      const directory = open.pop();
      if (directory !== undefined) directory.table = { start: event.goodbyePosition, end: event.endPosition };
    } else if (event.type === 'entry') {
      const parent = open.at(-1);
      const name = event.name.toString('latin1');
      const place: Place = { path: parent === undefined || parent.path === '' ? name : `${parent.path}/${name}`, event, table: undefined };
      places.push(place);
      if (event.entry.kind === 'directory') open.push(place);
    }
  }
  return places;
}
