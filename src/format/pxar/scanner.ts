/**
 * Walks a meta stream item by item, without goodbye tables and without the contents of files: the caller gives a window
 * of the stream at `position`, gets an event, and goes on at the new `position`, which is beyond any data.
 * Stops with an error at the first item that is not as it should be. Format: pxar, sections 1.4, 2.8
 */
import { FormatError } from '../../errors.js';
import type { Incomplete } from '../decoded.js';
import { decodeEntry, decodeName, decodePreamble, type EntryWindow, type Preamble } from './entry-decoder.js';
import type { PxarEntry } from './entry.js';
import { directoryDepthMax, goodbyeItemBytes, itemHeaderAt, itemHeaderBytes } from './item.js';

export interface ScannedPreamble extends Preamble {
  readonly type: 'preamble';
}

export interface ScannedEntry {
  readonly type: 'entry';
  /** 0 for the directory that the scan began with, 1 for its children */
  readonly depth: number;
  /** empty at depth 0 */
  readonly name: Buffer;
  /** of the FILENAME header; at depth 0 the same as `entryPosition` */
  readonly namePosition: number;
  readonly entryPosition: number;
  /** after the entry's items and data; a directory's children are not included */
  readonly endPosition: number;
  readonly entry: PxarEntry;
}

export interface ScannedDirectoryEnd {
  readonly type: 'directoryEnd';
  readonly depth: number;
  readonly namePosition: number;
  readonly entryPosition: number;
  readonly goodbyePosition: number;
  readonly endPosition: number;
  readonly childCount: number;
}

export type ScanEvent = ScannedPreamble | ScannedEntry | ScannedDirectoryEnd;

interface OpenDirectory {
  readonly namePosition: number;
  readonly entryPosition: number;
  childCount: number;
}

export class PxarScanner {
  #position: number;
  #state: 'preamble' | 'root' | 'inside' | 'finished';
  readonly #open: OpenDirectory[] = [];

  /** Begins at the start of a stream, or at the ENTRY header of a directory in it, whose end then ends the scan. */
  constructor(start: 'stream' | { readonly entryPosition: number } = 'stream') {
    this.#position = start === 'stream' ? 0 : start.entryPosition;
    this.#state = start === 'stream' ? 'preamble' : 'root';
  }

  /** Where the next window must begin. */
  get position(): number {
    return this.#position;
  }

  /** The directory that the scan began with has ended. A whole stream's length is `position` now, or it is damaged. */
  get finished(): boolean {
    return this.#state === 'finished';
  }

  next(window: Buffer, options: EntryWindow): ScanEvent | Incomplete {
    try {
      const event = this.#next(window, options);
      if ('needBytes' in event && options.atStreamEnd) {
        throw new FormatError('TRUNCATED', 'the archive ends before its root directory does');
      }
      return event;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new FormatError(error.code, `${error.message} (item at position ${this.#position})`, { cause: error });
    }
  }

  #next(window: Buffer, options: EntryWindow): ScanEvent | Incomplete {
    switch (this.#state) {
      case 'preamble':
        return this.#preamble(window);
      case 'root':
        return this.#entry(window, options, { name: Buffer.alloc(0), bytes: 0 });
      case 'finished':
        throw new FormatError('BAD_STRUCTURE', 'nothing may follow the end of the root directory');
      case 'inside':
        break;
    }
    if (window.length < itemHeaderBytes) return { needBytes: itemHeaderBytes };
    const { type, contentBytes } = itemHeaderAt(window, 0);
    if (type === 'GOODBYE') return this.#directoryEnd(itemHeaderBytes + contentBytes);
    const name = decodeName(window);
    return 'needBytes' in name ? name : this.#entry(window, options, { name: name.value, bytes: name.bytes });
  }

  #preamble(window: Buffer): ScanEvent | Incomplete {
    const preamble = decodePreamble(window);
    if ('needBytes' in preamble) return preamble;
    this.#position = preamble.bytes;
    this.#state = 'root';
    return { type: 'preamble', ...preamble.value };
  }

  #entry(window: Buffer, options: EntryWindow, name: { name: Buffer; bytes: number }): ScannedEntry | Incomplete {
    const decoded = decodeEntry(window.subarray(name.bytes), options);
    if ('needBytes' in decoded) return { needBytes: name.bytes + decoded.needBytes };
    const entry = decoded.value;
    const namePosition = this.#position;
    const entryPosition = namePosition + name.bytes;
    const dataBytes = entry.content?.where === 'inline' ? entry.content.size : 0;
    const endPosition = entryPosition + decoded.bytes + dataBytes;
    if (!Number.isSafeInteger(endPosition)) throw new FormatError('LIMIT_EXCEEDED', 'a file of the archive ends beyond 2^53 - 1');
    this.#checkPlace(entry, namePosition);
    const depth = this.#open.length;
    const parent = this.#open.at(-1);
    if (parent !== undefined) parent.childCount += 1;
    if (entry.kind === 'directory') this.#open.push({ namePosition, entryPosition, childCount: 0 });
    this.#position = endPosition;
    this.#state = 'inside';
    return { type: 'entry', depth, name: name.name, namePosition, entryPosition, endPosition, entry };
  }

  #checkPlace({ kind, hardlink }: PxarEntry, namePosition: number): void {
    if (this.#open.length === 0 && kind !== 'directory') {
      throw new FormatError('BAD_STRUCTURE', `the root of an archive cannot be a ${kind}`);
    }
    if (kind === 'directory' && this.#open.length >= directoryDepthMax) {
      throw new FormatError('LIMIT_EXCEEDED', `directories are nested deeper than ${directoryDepthMax}`);
    }
    if (hardlink !== undefined && hardlink.distance > namePosition) {
      throw new FormatError('BAD_STRUCTURE', 'a hard link points before the start of the archive');
    }
  }

  #directoryEnd(itemBytes: number): ScannedDirectoryEnd {
    const directory = this.#open.pop();
    if (directory === undefined) throw new FormatError('BAD_STRUCTURE', 'a GOODBYE item stands outside of any directory');
    if (itemBytes !== itemHeaderBytes + goodbyeItemBytes * (directory.childCount + 1)) {
      throw new FormatError(
        'BAD_STRUCTURE',
        `a directory of ${directory.childCount} entries has a goodbye table of ${itemBytes} bytes`,
      );
    }
    const goodbyePosition = this.#position;
    const endPosition = goodbyePosition + itemBytes;
    this.#position = endPosition;
    const depth = this.#open.length;
    if (depth === 0) this.#state = 'finished';
    return { type: 'directoryEnd', depth, ...directory, goodbyePosition, endPosition };
  }
}
