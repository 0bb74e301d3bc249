/**
 * An image into the store, as a fixed index over chunks of 4 MiB. What is in holes is not read, and of an image whose changed blocks are
 * known only those are. Format: datastore, sections 4.1, 10.3 and 10.4.
 */
import { randomUUID } from 'node:crypto';
import type { Room } from '../codec/content-memory.js';
import { FileError } from '../errors.js';
import { encodeFixedIndex } from '../format/fixed-index.js';
import type { IndexTarget } from '../store/backup-session.js';
import type { ByteRange } from './changed-list.js';
import { ImageChunks, imageChunkBytes, type ImageFigures } from './image-chunks.js';
import type { ImageFile, ImageSource, ImageStream } from './image-source.js';
import { reuseUnchanged, type ChangedImage } from './unchanged-chunks.js';

export type { ImageFigures } from './image-chunks.js';

export interface ImageOptions {
  readonly target: IndexTarget;
  /** `disk.img.fidx`. */
  readonly filename: string;
  /** Stays open. */
  readonly source: ImageSource;
  /** Only if dirtyBitmapStatus() says OK. */
  readonly changed?: ChangedImage | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly warn: (line: string) => void;
  readonly progress?: ((figures: Readonly<ImageFigures>) => void) | undefined;
}

export interface WrittenImage {
  readonly filename: string;
  /** Bytes of the image. */
  readonly size: number;
  /** Of the index, 64 hex digits. */
  readonly csum: string;
  readonly figures: Readonly<ImageFigures>;
}

/** INTERRUPTED when `signal` is given; errors of the source name it and the offset. What was taken of the target's memory is given back. */
export async function writeImage(options: ImageOptions): Promise<WrittenImage> {
  const { target, filename, source, signal, progress } = options;
  const ctime = Math.floor(Date.now() / 1000);
  const chunks = new ImageChunks(Math.ceil((source.size ?? 0) / imageChunkBytes), { target, signal, progress });
  const size = await settled(chunks, () => (source.kind === 'stream' ? putStream(chunks, source, signal) : putFile(chunks, source, options)));
  const index = newFixedIndex(size, chunks.digests(Math.ceil(size / imageChunkBytes)), ctime);
  await target.writeIndex(index);
  return { filename, size, csum: index.toString('hex', 32, 64), figures: chunks.figures };
}

/** A whole index file. `digests`: 32 bytes for each chunk of 4 MiB; `ctime`: seconds since 1970. */
export function newFixedIndex(size: number, digests: Buffer, ctime = Math.floor(Date.now() / 1000)): Buffer {
  const uuid = Buffer.from(randomUUID().replaceAll('-', ''), 'hex');
  return encodeFixedIndex({ uuid, ctime, size, chunkSize: imageChunkBytes, digests });
}

/** Nothing runs any more when this ends, one way or the other. */
async function settled(chunks: ImageChunks, work: () => Promise<number>): Promise<number> {
  let size: number;
  try {
    size = await work();
  } catch (error) {
    await chunks.settled();
    throw error;
  }
  await chunks.settled();
  return size;
}

async function putFile(chunks: ImageChunks, source: ImageFile, { target, changed, warn }: ImageOptions): Promise<number> {
  const shrunk = new ShrinkWarning(source, warn);
  const ranges = changed === undefined ? [{ start: 0, end: source.size }] : await reuseUnchanged(chunks, target, changed, warn);
  for (const range of ranges) await putRange(chunks, source, range, shrunk);
  await chunks.settled();
  await shrunk.check();
  return source.size;
}

/** `start` is that of a chunk, `end` is one too or that of the image. */
async function putRange(chunks: ImageChunks, source: ImageFile, { start, end }: ByteRange, shrunk: ShrinkWarning): Promise<void> {
  for (let offset = start; offset < end; ) {
    chunks.check();
    const chunk = offset / imageChunkBytes;
    const holes = Math.floor((Math.min(source.dataFrom(offset), end) - offset) / imageChunkBytes);
    if (holes > 0) {
      await chunks.putZeros(chunk, chunk + holes);
      offset += holes * imageChunkBytes;
    } else {
      const at = offset;
      const length = Math.min(imageChunkBytes, end - at);
      chunks.put(chunk, await chunks.room(), length, (content) => readOrZero(source, content, at, shrunk));
      offset += length;
    }
  }
}

async function readOrZero(source: ImageFile, content: Buffer, offset: number, shrunk: ShrinkWarning): Promise<void> {
  const filled = await source.read(content, offset);
  if (filled === content.length) return;
  content.fill(0, filled);
  shrunk.warn();
}

/** A source that ends before its size: told once. */
class ShrinkWarning {
  #warned = false;
  constructor(
    readonly source: ImageFile,
    readonly tell: (line: string) => void,
  ) {}

  warn(): void {
    if (!this.#warned) this.tell(`${this.source.path} became shorter while it was read: up to its former size of ${this.source.size} bytes it is filled with zeros`);
    this.#warned = true;
  }

  /** Where nothing is left, nothing was read: it looks like a hole. */
  async check(): Promise<void> {
    if ((await this.source.sizeNow()) < this.source.size) this.warn();
  }
}

/** Gives the bytes that there were. */
async function putStream(chunks: ImageChunks, { input, path }: ImageStream, signal: AbortSignal | undefined): Promise<number> {
  const stop = (): void => void input.destroy();
  signal?.addEventListener('abort', stop);
  const filling = new StreamRoom(chunks);
  try {
    chunks.check();
    for await (const piece of input) await filling.add(piece as Buffer);
    chunks.check();
    const size = filling.end();
    if (size === 0) throw new FileError('INVALID_ARGUMENT', `${path} is empty; an image has at least one byte`);
    return size;
  } catch (error) {
    chunks.check();
    throw error;
  } finally {
    filling.discard();
    signal?.removeEventListener('abort', stop);
  }
}

/** The chunk that pieces of a stream are gathered into. */
class StreamRoom {
  readonly #chunks: ImageChunks;
  #room: Room | undefined;
  #filled = 0;
  #size = 0;

  constructor(chunks: ImageChunks) {
    this.#chunks = chunks;
  }

  async add(piece: Buffer): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      this.#room ??= await this.#chunks.room();
      const copied = piece.copy(this.#chunks.view(this.#room, imageChunkBytes), this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === imageChunkBytes) this.#put(this.#room);
    }
  }

  /** Puts the last chunk; gives the size of all. */
  end(): number {
    if (this.#room !== undefined) this.#put(this.#room);
    return this.#size;
  }

  discard(): void {
    if (this.#room !== undefined) this.#chunks.giveBack(this.#room);
    this.#room = undefined;
  }

  #put(room: Room): void {
    this.#chunks.put(this.#size / imageChunkBytes, room, this.#filled);
    this.#size += this.#filled;
    this.#room = undefined;
    this.#filled = 0;
  }
}
