/** Encoded chunks from a server, each by a session of a snapshot whose index names it. Format: protocol, section 11. */
import type { ChunkRef, FetchedChunks } from '../../codec/chunk-source.js';
import { StoreError, codeOf, messageOf } from '../../errors.js';
import type { ChunkIndex } from '../../format/chunk-index.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { ChunkPlaces } from './chunk-places.js';
import { FlowMeter } from './flow-meter.js';
import type { ServerApi } from './server-api.js';
import { chunkMissing, type IndexPlace } from './snapshot-reader.js';
import type { SnapshotReaders } from './snapshot-readers.js';

/** Of a chunk that is named, other places to ask when the first one fails. */
const placesTriedMax = 4;

export interface RemoteChunksParts {
  readonly api: ServerApi;
  readonly readers: SnapshotReaders;
  /** In which all that is under way at once has to come. */
  readonly timeoutMs: number;
  /** Has add() called for all indexes of a snapshot. */
  readonly readIndexes: (snapshot: SnapshotName) => Promise<void>;
  /** Of a refusal, with what is listed of the snapshot: NOT_FOUND if it is gone. */
  readonly explain: (error: unknown, snapshot: SnapshotName) => Promise<unknown>;
}

export class RemoteChunks implements FetchedChunks {
  readonly kind = 'fetched';
  /** More do not make it faster (protocol, section 12.3). */
  readonly requestsMax = 16;
  readonly #api: ServerApi;
  readonly #readers: SnapshotReaders;
  readonly #origins = new WeakMap<ChunkIndex, IndexPlace>();
  readonly #places = new ChunkPlaces();
  readonly #readIndexes: RemoteChunksParts['readIndexes'];
  readonly #explain: RemoteChunksParts['explain'];
  /** Held snapshots of which all indexes were read, so that chunks of which only the digest is known are found. */
  readonly #searched = new Map<string, Promise<void>>();
  readonly #flow: FlowMeter;

  constructor({ api, readers, timeoutMs, readIndexes, explain }: RemoteChunksParts) {
    this.#api = api;
    this.#readers = readers;
    this.#readIndexes = readIndexes;
    this.#explain = explain;
    this.#flow = new FlowMeter(timeoutMs);
  }

  get bytesInFlightMax(): number {
    return this.#flow.bytesInFlightMax(this.#api.state().roundTripMs);
  }

  /** The chunks of `index`, which was read there, can be fetched from now on. */
  add(index: ChunkIndex, place: IndexPlace): void {
    this.#origins.set(index, place);
    this.#places.add(place, index);
  }

  /** One that has the chunk, a held one first. Undefined if none is known, after those that are held were looked through. */
  async snapshotWith(digest: Buffer): Promise<SnapshotName | undefined> {
    if (this.#places.placesOf(digest).next().done === true) await this.#searchHeld();
    const places = [...this.#places.placesOf(digest)].map(({ snapshot }) => snapshot);
    const held = new Set(this.#readers.held().map(snapshotPath));
    return places.find((snapshot) => held.has(snapshotPath(snapshot))) ?? places[0];
  }

  async fetch(chunk: ChunkRef): Promise<Uint8Array<ArrayBuffer>> {
    let failure: Error | undefined;
    for await (const place of this.#candidates(chunk)) {
      try {
        return await this.#fetchFrom(place, chunk);
      } catch (error) {
        failure ??= error as Error;
        // Another snapshot may have the chunk where this one is gone or was replaced.
        if (codeOf(error) !== 'CHUNK_MISSING' && codeOf(error) !== 'MANIFEST_MISMATCH') throw error;
        this.#places.remove(place);
      }
    }
    if (failure !== undefined) throw failure;
    const what = `chunk ${chunk.digest.toString('hex')}`;
    throw new StoreError('CHUNK_MISSING', `${what} is in no snapshot that was read: a server gives chunks of known indexes only`);
  }

  async *#candidates({ digest, origin }: ChunkRef): AsyncGenerator<IndexPlace> {
    const first = origin && this.#origins.get(origin);
    if (first !== undefined) yield first;
    let tried = 0;
    for (const place of this.#places.placesOf(digest)) {
      if (first?.csum.equals(place.csum) === true && snapshotPath(first.snapshot) === snapshotPath(place.snapshot)) continue;
      if (tried++ >= placesTriedMax) return;
      yield place;
    }
    if (first !== undefined || tried > 0) return;
    await this.#searchHeld();
    yield* this.#places.placesOf(digest);
  }

  async #searchHeld(): Promise<void> {
    const held = new Map(this.#readers.held().map((snapshot) => [snapshotPath(snapshot), snapshot]));
    for (const path of this.#searched.keys()) if (!held.has(path)) this.#searched.delete(path);
    for (const [path, snapshot] of held) {
      const search = this.#searched.get(path) ?? this.#readIndexes(snapshot);
      this.#searched.set(path, search);
      await search.catch(() => this.#searched.delete(path));
    }
  }

  async #fetchFrom(place: IndexPlace, { digest }: ChunkRef): Promise<Uint8Array<ArrayBuffer>> {
    this.#flow.begin();
    let bytes = 0;
    try {
      const chunk = await this.#readers.use(place.snapshot, (reader, signal) => reader.chunk(place, digest, signal));
      bytes = chunk.length;
      return chunk;
    } catch (error) {
      throw await this.#explained(error, place, digest);
    } finally {
      this.#flow.end(bytes);
    }
  }

  /** A session that is refused says nothing of the chunk, unless the snapshot is gone. */
  async #explained(error: unknown, { snapshot }: IndexPlace, digest: Buffer): Promise<unknown> {
    const reason = codeOf(error) === 'CHUNK_MISSING' ? error : await this.#explain(error, snapshot);
    if (codeOf(reason) !== 'NOT_FOUND') return reason;
    return reason === error ? new StoreError('REFUSED', messageOf(error), { cause: error }) : chunkMissing(snapshotPath(snapshot), digest, reason);
  }
}
