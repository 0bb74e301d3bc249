/**
 * Writes an archive entry by entry, in pre-order, as chunks of bytes handed to its sinks. Holds one record per child
 * of the directories on the current path, nothing else. Format: pxar, sections 1.4, 2.3, 2.9
 */
import { FormatError } from '../../errors.js';
import { encodeEntry, encodeName, encodePreamble } from './entry-encoder.js';
import type { PxarContent, PxarEntry, PxarMetadata } from './entry.js';
import { encodeGoodbye, type GoodbyeChild } from './goodbye-encoder.js';
import { directoryDepthMax, encodeItemHeader } from './item.js';
import { nameHash } from './name-hash.js';

export type ByteSink = (bytes: Buffer) => void;

export type PxarStreams =
  | { readonly version: 1; readonly meta: ByteSink }
  | { readonly version: 2; readonly meta: ByteSink; readonly payload: ByteSink; readonly prelude?: Buffer };

interface OpenDirectory {
  readonly name: Buffer;
  readonly namePosition: number;
  readonly entryPosition: number;
  readonly children: GoodbyeChild[];
}

export class PxarWriter {
  readonly #streams: PxarStreams;
  readonly #open: OpenDirectory[] = [];
  #metaPosition = 0;
  #payloadPosition = 0;
  #dataBytesDue = 0;

  /** Writes the start of the archive and its root's metadata. */
  constructor(streams: PxarStreams, root: PxarMetadata) {
    this.#streams = streams;
    const prelude = streams.version === 2 ? streams.prelude : undefined;
    this.#meta(encodePreamble({ version: streams.version, prelude }));
    if (streams.version === 2) this.#payload(encodeItemHeader('PAYLOAD_START_MARKER', 0));
    this.#meta(encodeEntry({ kind: 'directory', metadata: root }));
    this.#open.push({ name: Buffer.alloc(0), namePosition: 0, entryPosition: 0, children: [] });
  }

  /** Where the next entry will begin: what a hard link to it needs. */
  get metaPosition(): number {
    return this.#metaPosition;
  }

  get payloadPosition(): number {
    return this.#payloadPosition;
  }

  openDirectory(name: Buffer, metadata: PxarMetadata): void {
    this.#directory();
    if (this.#open.length >= directoryDepthMax) {
      throw new FormatError('LIMIT_EXCEEDED', `directories nested deeper than ${directoryDepthMax} cannot be archived`);
    }
    const entry = encodeEntry({ kind: 'directory', metadata });
    const namePosition = this.#metaPosition;
    this.#meta(encodeName(name));
    const entryPosition = this.#metaPosition;
    this.#meta(entry);
    this.#open.push({ name, namePosition, entryPosition, children: [] });
  }

  /** Ends the directory that was opened last; the root is ended by `finish`. */
  closeDirectory(): void {
    if (this.#open.length < 2) throw new FormatError('BAD_STRUCTURE', 'there is no directory to close');
    const { name, namePosition } = this.#endDirectory();
    this.#addChild(name, namePosition, this.#metaPosition - namePosition);
  }

  /** A regular file, after which exactly `size` bytes must be given to `write`. */
  addFile(name: Buffer, metadata: PxarMetadata, size: number): void {
    const content: PxarContent =
      this.#streams.version === 1 ? { where: 'inline', size } : { where: 'payload', offset: this.#payloadPosition, size };
    // The table counts the data as the child's, although in v2 it is in the other stream: so does the official writer.
    this.#add(name, { kind: 'file', metadata, content }, size);
    if (this.#streams.version === 2) this.#payload(encodeItemHeader('PAYLOAD', size));
    this.#dataBytesDue = size;
  }

  write(data: Buffer): void {
    if (data.length > this.#dataBytesDue) {
      throw new FormatError('BAD_STRUCTURE', `${data.length - this.#dataBytesDue} bytes more than the file's size`);
    }
    this.#dataBytesDue -= data.length;
    if (this.#streams.version === 1) this.#meta(data);
    else this.#payload(data);
  }

  /** v2: a regular file whose PAYLOAD header and data are, or will be injected, at `offset` of the payload stream. */
  addReusedFile(name: Buffer, metadata: PxarMetadata, content: { readonly offset: number; readonly size: number }): void {
    if (this.#streams.version === 1) throw new FormatError('BAD_STRUCTURE', 'an archive of version 1 cannot reuse payloads');
    this.#add(name, { kind: 'file', metadata, content: { where: 'payload', ...content } });
  }

  /** v2: counts bytes that others put into the payload stream at this point. */
  injectPayload(bytes: number): void {
    this.#directory();
    this.#payloadPosition += bytes;
  }

  /** A symbolic link, device, fifo or socket. */
  addSpecial(name: Buffer, entry: PxarEntry): void {
    if (entry.kind === 'directory' || entry.kind === 'file' || entry.kind === 'hardlink') {
      throw new FormatError('BAD_STRUCTURE', `a ${entry.kind} is not archived as a special file`);
    }
    this.#add(name, entry);
  }

  /** Another name of a file that began at `targetPosition` and has the path `target` below the root. */
  addHardlink(name: Buffer, targetPosition: number, target: Buffer): void {
    const distance = this.#metaPosition - targetPosition;
    this.#add(name, { kind: 'hardlink', metadata: undefined, hardlink: { distance, target } });
  }

  /** Ends the root directory and the streams. */
  finish(): void {
    if (this.#open.length !== 1) throw new FormatError('BAD_STRUCTURE', `${this.#open.length - 1} directories are still open`);
    this.#endDirectory();
    if (this.#streams.version === 2) this.#payload(encodeItemHeader('PAYLOAD_TAIL_MARKER', 0));
  }

  #add(name: Buffer, entry: PxarEntry, dataBytes = 0): void {
    this.#directory();
    const encoded = encodeEntry(entry);
    const position = this.#metaPosition;
    this.#meta(encodeName(name));
    this.#meta(encoded);
    this.#addChild(name, position, this.#metaPosition - position + dataBytes);
  }

  #addChild(name: Buffer, position: number, size: number): void {
    this.#directory().children.push({ hash: nameHash(name), position, size });
  }

  #endDirectory(): OpenDirectory {
    const directory = this.#directory();
    this.#meta(
      encodeGoodbye(directory.children, { goodbyePosition: this.#metaPosition, entryPosition: directory.entryPosition }),
    );
    this.#open.pop();
    return directory;
  }

  /** The directory that takes the next entry; every entry begins with this check. */
  #directory(): OpenDirectory {
    const directory = this.#open.at(-1);
    if (directory === undefined) throw new FormatError('BAD_STRUCTURE', 'the archive is already finished');
    if (this.#dataBytesDue > 0)
      throw new FormatError('BAD_STRUCTURE', `${this.#dataBytesDue} bytes of the last file are missing`);
    return directory;
  }

  #meta(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#streams.meta(bytes);
    this.#metaPosition += bytes.length;
  }

  #payload(bytes: Buffer): void {
    if (this.#streams.version === 1 || bytes.length === 0) return;
    this.#streams.payload(bytes);
    this.#payloadPosition += bytes.length;
  }
}
