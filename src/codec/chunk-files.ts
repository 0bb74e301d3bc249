/**
 * The files of a chunk store, as a writer sees them. A file appears under its name only when it is whole. Synchronous: it runs in worker threads.
 * Format: datastore, sections 1.6, 3.1 to 3.4.
 */
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { codeOf, messageOf, StoreError } from '../errors.js';
import { chunkBytesMax, decodeBlobHeader, encryptedHeaderBytes, plainHeaderBytes, type BlobHeader } from '../format/blob.js';
import { replacementTempName } from '../format/temp-name.js';
import { touchAccessTime } from '../os/access-time.js';
import type { ChunkPlace } from './worker-messages.js';

const fileMode = 0o644;
const temporaryFileMode = 0o600;
const directoryMode = 0o750;

export interface ChunkName {
  readonly digest: Buffer;
  /** Bytes of content. */
  readonly length: number;
}

export class ChunkFiles {
  readonly #place: ChunkPlace;
  readonly #headerBytes: number;
  /** The temporary directory is on another file system: temporary files lie beside the chunk. */
  #isBeside = false;

  /** `encrypted`: whether all chunks that are asked for are. */
  constructor(place: ChunkPlace, encrypted: boolean) {
    this.#place = place;
    this.#headerBytes = encrypted ? encryptedHeaderBytes : plainHeaderBytes;
  }

  /** Keeps the chunk from the next garbage collection. False if it is not there or can't be whole, by its size. */
  reuse(chunk: ChunkName): boolean {
    const path = this.#pathOf(chunk.digest);
    return this.#telling(path, () => {
      const facts = fs.lstatSync(path, { throwIfNoEntry: false });
      if (facts?.isFile() !== true || !this.#isPossible(facts.size, chunk.length)) return false;
      return touchAccessTime(path);
    });
  }

  /** Writes the chunk, in place of what is there. */
  write(digest: Buffer, parts: readonly Buffer[]): void {
    const path = this.#pathOf(digest);
    this.#telling(path, () => {
      if (fs.lstatSync(path, { throwIfNoEntry: false })?.isFile() === false) throw new StoreError('CHUNK_CORRUPT', `${path} is not a file`);
      if (!this.#isBeside && this.#writeFrom(this.#place.temporaryDirectory, path, parts)) return;
      this.#isBeside = true;
      this.#makeDirectory(dirname(path));
      this.#writeFrom(dirname(path), path, parts);
    });
  }

  /**
   * A chunk as somebody has encoded it: what is there already is kept, and kept from the next garbage collection, unless it is empty or a
   * longer encoding. CHUNK_CORRUPT if what is there and what comes can't both be right.
   */
  insert(digest: Buffer, encoded: Buffer): { added: boolean; encodedBytes: number } {
    const path = this.#pathOf(digest);
    const facts = fs.lstatSync(path, { throwIfNoEntry: false });
    if (facts?.isFile() === true && this.#telling(path, () => isKept(path, facts.size, encoded) && touchAccessTime(path))) {
      return { added: false, encodedBytes: facts.size };
    }
    this.write(digest, [encoded]);
    return { added: true, encodedBytes: encoded.length };
  }

  /** False if `directory` is on another file system than the chunk store. */
  #writeFrom(directory: string, path: string, parts: readonly Buffer[]): boolean {
    const temporary = this.#writeTemporary(directory, path, parts);
    try {
      this.#rename(temporary, path);
      return true;
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      if (codeOf(error) === 'EXDEV' && directory !== dirname(path)) return false;
      throw error;
    }
  }

  #writeTemporary(directory: string, path: string, parts: readonly Buffer[]): string {
    const temporary = join(directory, replacementTempName(path.slice(dirname(path).length + 1)));
    const descriptor = fs.openSync(temporary, fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL, temporaryFileMode);
    try {
      const { owner, durable } = this.#place;
      writeAll(descriptor, parts);
      fs.fchmodSync(descriptor, fileMode);
      if (owner !== undefined) fs.fchownSync(descriptor, owner.uid, owner.gid);
      if (durable) fs.fsyncSync(descriptor);
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw error;
    } finally {
      fs.closeSync(descriptor);
    }
    return temporary;
  }

  #rename(temporary: string, path: string): void {
    try {
      fs.renameSync(temporary, path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      this.#makeDirectory(dirname(path));
      fs.renameSync(temporary, path);
    }
    if (this.#place.durable) syncDirectory(dirname(path));
  }

  /** A server makes all of them when a store is made. */
  #makeDirectory(path: string): void {
    try {
      fs.mkdirSync(path, directoryMode);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return;
      throw error;
    }
    const { owner, durable, chunksDirectory } = this.#place;
    fs.chmodSync(path, directoryMode);
    if (owner !== undefined) fs.chownSync(path, owner.uid, owner.gid);
    if (durable) syncDirectory(chunksDirectory);
  }

  #isPossible(fileBytes: number, length: number): boolean {
    return length <= chunkBytesMax && fileBytes > this.#headerBytes && fileBytes <= this.#headerBytes + length;
  }

  #pathOf(digest: Buffer): string {
    const hex = digest.toString('hex');
    return `${this.#place.chunksDirectory}/${hex.slice(0, 4)}/${hex}`;
  }

  #telling<T>(path: string, act: () => T): T {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      error.message = `chunk ${path} cannot be written: ${messageOf(error)}`;
      throw error;
    }
  }
}

/** Whether a chunk file of `bytes` stays when `encoded` comes. Format: datastore, section 3.2. */
function isKept(path: string, bytes: number, encoded: Buffer): boolean {
  if (bytes === encoded.length) return true;
  if (bytes === 0) return false;
  const incoming = decodeBlobHeader(encoded);
  if (!incoming.encrypted) return bytes < encoded.length;
  const present = headerOf(path);
  if (present === undefined) return false;
  if (!present.encrypted) throw new StoreError('CHUNK_CORRUPT', 'it is there unencrypted, and an encrypted one never has its digest');
  if (!present.compressed && !incoming.compressed) throw new StoreError('CHUNK_CORRUPT', `it is there with ${bytes} bytes, neither of both compressed: one is wrong`);
  return true;
}

/** Undefined: a garbage collection has just taken it away. */
function headerOf(path: string): BlobHeader | undefined {
  let descriptor: number;
  try {
    descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(encryptedHeaderBytes);
    return decodeBlobHeader(bytes.subarray(0, fs.readSync(descriptor, bytes, 0, bytes.length, 0)));
  } finally {
    fs.closeSync(descriptor);
  }
}

/** To where the descriptor is. */
export function writeAll(descriptor: number, parts: readonly Buffer[]): void {
  let rest = parts;
  while (rest.length > 0) rest = after(fs.writevSync(descriptor, rest), rest);
}

function after(bytes: number, parts: readonly Buffer[]): readonly Buffer[] {
  let skip = bytes;
  return parts.flatMap((part) => {
    const skipped = Math.min(skip, part.length);
    skip -= skipped;
    return skipped < part.length ? [part.subarray(skipped)] : [];
  });
}

function syncDirectory(path: string): void {
  const descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
