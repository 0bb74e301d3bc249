/**
 * The files and chunks of one snapshot through a reader session, which is opened when it is needed and again after it was lost. A session gives
 * chunks only of indexes that were downloaded in it. Format: protocol, sections 9.3 and 11.
 */
import { StoreError, messageOf } from '../../errors.js';
import { archiveKind } from '../../format/archive-name.js';
import { encodedBlobBytesMax, encodedChunkBytesMax } from '../../format/blob.js';
import { indexBytesMax, type ChunkIndex } from '../../format/chunk-index.js';
import { parseDynamicIndex } from '../../format/dynamic-index.js';
import { parseFixedIndex } from '../../format/fixed-index.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { snapshotParameters } from './parameters.js';
import type { ProtocolSession, ServerApi } from './server-api.js';
import { ServerRefusal } from './server-refusal.js';

/** An index as it was when it was read. */
export interface IndexPlace {
  readonly snapshot: SnapshotName;
  readonly fileName: string;
  readonly csum: Buffer;
}

interface OpenSession {
  readonly session: ProtocolSession;
  /** Checksums of the indexes whose chunks the session gives. */
  readonly indexes: Map<string, Promise<Buffer>>;
}

export class SnapshotReader {
  readonly path: string;
  readonly snapshot: SnapshotName;
  readonly #api: ServerApi;
  readonly #progress: () => void;
  #opening: Promise<OpenSession> | undefined;
  #open: OpenSession | undefined;

  /** `progress` is called for each part of an answer. */
  constructor(api: ServerApi, snapshot: SnapshotName, progress: () => void) {
    this.path = snapshotPath(snapshot);
    this.#api = api;
    this.#progress = progress;
    this.snapshot = snapshot;
  }

  get isOpen(): boolean {
    return this.#opening !== undefined || this.#open?.session.isOpen === true;
  }

  /** Rejects as ServerApi.openSession(). */
  async open(): Promise<ProtocolSession> {
    return (await this.#session()).session;
  }

  async blob(fileName: string, signal: AbortSignal): Promise<Buffer> {
    return await this.#download(await this.#session(), fileName, encodedBlobBytesMax, signal);
  }

  async index(fileName: string, signal: AbortSignal): Promise<{ readonly index: ChunkIndex; readonly place: IndexPlace }> {
    const open = await this.#session();
    const index = parseIndex(await this.#download(open, fileName, indexBytesMax, signal), fileName);
    const csum = index.computeCsum();
    open.indexes.set(fileName, Promise.resolve(csum));
    return { index, place: { snapshot: this.snapshot, fileName, csum } };
  }

  /** CHUNK_MISSING if the session does not give the chunk, MANIFEST_MISMATCH if the snapshot has another index of that name by now. */
  async chunk(place: IndexPlace, digest: Buffer, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const open = await this.#session();
    try {
      return await this.#allowedChunk(open, place, digest, signal);
    } catch (error) {
      const isMissing = error instanceof ServerRefusal && [400, 404].includes(error.status);
      throw isMissing ? chunkMissing(`${this.path}/${place.fileName}`, digest, error) : error;
    }
  }

  async #allowedChunk(open: OpenSession, place: IndexPlace, digest: Buffer, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    await this.#allow(open, place);
    try {
      return await this.#chunk(open, digest, signal);
    } catch (error) {
      if (!(error instanceof ServerRefusal) || error.status !== 401) throw error;
      // The server does not know that it gave the index: it gets it again, once.
      open.indexes.delete(place.fileName);
      await this.#allow(open, place);
      return await this.#chunk(open, digest, signal);
    }
  }

  close(): void {
    this.#open?.session.close();
    this.#open = undefined;
    this.#opening?.then(({ session }) => {
      session.close();
    }, () => undefined);
    this.#opening = undefined;
  }

  /** Shared by all who read: it does not end with one of them. */
  #session(): Promise<OpenSession> {
    if (this.#open?.session.isOpen === true) return Promise.resolve(this.#open);
    return (this.#opening ??= this.#openSession());
  }

  #openSession(): Promise<OpenSession> {
    const parameters = { store: this.#api.repository.store, debug: false, ...snapshotParameters(this.snapshot) };
    const opening = this.#api.openSession('reader', parameters, { progress: this.#progress }).then((session): OpenSession => ({ session, indexes: new Map() }));
    const mine = opening.then(
      (open) => {
        if (this.#opening === mine) {
          this.#open = open;
          this.#opening = undefined;
        }
        return open;
      },
      (error: unknown) => {
        if (this.#opening === mine) this.#opening = undefined;
        throw error;
      },
    );
    return mine;
  }

  async #allow(open: OpenSession, place: IndexPlace): Promise<void> {
    const { fileName, csum } = place;
    let known = open.indexes.get(fileName);
    if (known === undefined) {
      known = this.#download(open, fileName, indexBytesMax).then((bytes) => parseIndex(bytes, fileName).computeCsum());
      const asked = known;
      asked.catch(() => {
        if (open.indexes.get(fileName) === asked) open.indexes.delete(fileName);
      });
      open.indexes.set(fileName, known);
    }
    if ((await known).equals(csum)) return;
    throw new StoreError('MANIFEST_MISMATCH', `${this.path}/${fileName} is another one than the one that was opened: open it again`);
  }

  async #download({ session }: OpenSession, fileName: string, bytesMax: number, signal?: AbortSignal): Promise<Buffer> {
    const parameters = { 'file-name': fileName };
    const bytes = await session.request({ method: 'GET', path: '/download', parameters, bytesMax, signal });
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #chunk({ session }: OpenSession, digest: Buffer, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const parameters = { digest: digest.toString('hex') };
    return session.request({ method: 'GET', path: '/chunk', parameters, bytesMax: encodedChunkBytesMax, signal });
  }
}

export function chunkMissing(where: string, digest: Buffer, cause: unknown): StoreError {
  return new StoreError('CHUNK_MISSING', `chunk ${digest.toString('hex')} of ${where} can't be had from the server: ${messageOf(cause)}`, { cause });
}

function parseIndex(bytes: Buffer, fileName: string): ChunkIndex {
  return archiveKind(fileName) === 'fixed' ? parseFixedIndex(bytes) : parseDynamicIndex(bytes);
}
