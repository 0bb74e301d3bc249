/** What a staged image has in the datastore, through the cache of decoded chunks. Chunks that cannot be had fail exactly the reads that need them. */
import type { ChunkCache, ChunkRef } from '../../codec/chunk-cache.js';
import { FormatError } from '../../errors.js';
import { isPassing, type ByteSpan, type ChunkUser, type DamageLog } from '../../archive/damage.js';
import { ReadAhead } from '../../archive/read-ahead.js';
import { zeros } from '../../archive/zero-chunk.js';
import type { MaybePromise } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import type { ImageMap } from './image-map.js';
import type { ByteRange } from './image-ranges.js';
import { imageChunkBytes, type StoredContent } from './image-record.js';

export interface ImageBaseOptions {
  /** Of the image in the tree, for messages. */
  readonly path: string;
  readonly map: ImageMap;
  readonly cache: ChunkCache;
  /** Of the key in the cache; -1: chunks are not encrypted. */
  readonly keyNumber: number;
  readonly damage: DamageLog;
}

export class ImageBase implements ChunkUser {
  readonly #options: ImageBaseOptions;
  readonly #readAhead: ReadAhead;

  constructor(options: ImageBaseOptions) {
    this.#options = options;
    const { map, cache } = options;
    const ahead = {
      get count() {
        return map.count;
      },
      bytesOf: () => imageChunkBytes,
      prefetch: (chunk: number) => this.#prefetch(chunk),
    };
    this.#readAhead = new ReadAhead(ahead, () => cache.readAheadBytesMax);
    options.damage.register(this);
  }

  get path(): string {
    return this.#options.path;
  }

  /** As for a reader that goes on behind it. */
  noteRead(chunk: number): void {
    this.#readAhead.note(chunk);
  }

  /** Bytes of a chunk, valid in this turn of the event loop. BAD_CRC if its record was damaged; what the cache throws. */
  read(chunk: number, range: ByteRange): MaybePromise<Uint8Array> {
    const record = this.#options.map.recordOf(chunk);
    if (record.kind === 'hole') return zeros.subarray(0, range.end - range.start);
    if (record.kind === 'lost') return Promise.reject(lost(this.#options, chunk));
    const { length } = record;
    return andThen(this.#content(record), (content) => partOf(content, range, length));
  }

  /** Copies ranges of a chunk to where they are in it; what lies behind `into` is not needed. */
  copy(chunk: number, ranges: readonly ByteRange[], into: Buffer): MaybePromise<void> {
    if (ranges.length === 0) return;
    return andThen(this.read(chunk, { start: 0, end: into.length }), (content) => {
      for (const { start, end } of ranges) into.set(content.subarray(start, end), start);
    });
  }

  rangesOf(digest: Buffer): readonly ByteSpan[] {
    const { map } = this.#options;
    const spans: ByteSpan[] = [];
    for (const chunk of map.used(0, map.count)) {
      const record = map.recordOf(chunk);
      if (record.kind !== 'stored' || !record.digest.equals(digest)) continue;
      spans.push({ start: chunk * imageChunkBytes, end: Math.min((chunk + 1) * imageChunkBytes, map.size) });
    }
    return spans;
  }

  close(): void {
    this.#options.damage.unregister(this);
  }

  #content(stored: StoredContent): MaybePromise<Buffer> {
    const ref = this.#refOf(stored);
    return this.#options.cache.get(ref) ?? this.#load(ref);
  }

  async #load(ref: ChunkRef): Promise<Buffer> {
    try {
      return await this.#options.cache.load(ref);
    } catch (error) {
      if (!isPassing(error)) this.#options.damage.reportChunk(ref.digest, error, this);
      throw error;
    }
  }

  #prefetch(chunk: number): boolean {
    const record = this.#options.map.recordOf(chunk);
    return record.kind !== 'stored' || this.#options.cache.prefetch(this.#refOf(record));
  }

  /** The map's own digest may become another one. */
  #refOf({ digest, length }: StoredContent): ChunkRef {
    return { digest: Buffer.from(digest), length, keyNumber: this.#options.keyNumber };
  }
}

export function lost({ path, map }: Pick<ImageBaseOptions, 'path' | 'map'>, chunk: number): FormatError {
  const place = `${path}: the 4 MiB from byte ${chunk * imageChunkBytes} on are lost`;
  return new FormatError('BAD_CRC', `${place}: their record in ${map.path} is damaged; write them again`);
}

function partOf(content: Buffer, { start, end }: ByteRange, length: number): Uint8Array {
  if (end <= length) return content.subarray(start, end);
  const part = Buffer.alloc(end - start);
  if (start < length) content.copy(part, 0, start, length);
  return part;
}
