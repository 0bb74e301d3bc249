/** Chunks that somebody wants decoded, and the order in which workers get them: those that readers wait for first. */
import type { ChunkRef } from './chunk-source.js';

/** What a worker decodes: a file, or what was fetched, which `path` is the name of. */
export interface Encoded {
  readonly path: string;
  readonly encoded?: Uint8Array<ArrayBuffer>;
  /** A file of the disk cache. */
  readonly isCached?: boolean;
}

export class ChunkRequest {
  readonly key: string;
  readonly ref: ChunkRef;
  /** A reader waits for it. */
  urgent: boolean;
  readonly promise: Promise<Buffer>;
  /** Only the first result counts. */
  readonly settle: (result: Buffer | Error) => void;

  constructor(ref: ChunkRef, urgent: boolean) {
    this.key = keyOf(ref);
    this.ref = ref;
    this.urgent = urgent;
    const { promise, settle } = newPromise();
    this.promise = promise;
    this.settle = settle;
    // Nobody may wait for a prefetch.
    this.promise.catch(() => undefined);
  }
}

export class DecodeQueue {
  readonly #urgent = new Map<ChunkRequest, Encoded>();
  readonly #prefetch = new Map<ChunkRequest, Encoded>();

  get size(): number {
    return this.#urgent.size + this.#prefetch.size;
  }

  /** Of those that nobody waits for. */
  get sizeAhead(): number {
    return this.#prefetch.size;
  }

  add(request: ChunkRequest, encoded: Encoded): void {
    (request.urgent ? this.#urgent : this.#prefetch).set(request, encoded);
  }

  /** A reader waits for it now; false if it is not in the queue. */
  hurry(request: ChunkRequest): boolean {
    const encoded = this.#prefetch.get(request);
    if (encoded === undefined) return this.#urgent.has(request);
    this.#prefetch.delete(request);
    this.#urgent.set(request, encoded);
    return true;
  }

  next(): [request: ChunkRequest, encoded: Encoded] | undefined {
    const [next] = this.#urgent.size > 0 ? this.#urgent : this.#prefetch;
    return next;
  }

  delete(request: ChunkRequest): void {
    if (!this.#urgent.delete(request)) this.#prefetch.delete(request);
  }

  clear(): void {
    this.#urgent.clear();
    this.#prefetch.clear();
  }
}

/** Archives that give one digest different lengths or keys can't all be right: a wrong one must not profit from another. */
export function keyOf({ digest, length, keyNumber }: ChunkRef): string {
  return `${digest.toString('latin1')}${length} ${keyNumber}`;
}

function newPromise(): Pick<ChunkRequest, 'promise' | 'settle'> {
  let settle: ChunkRequest['settle'] = () => undefined;
  const promise = new Promise<Buffer>((resolve, reject) => {
    settle = (result) => {
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
  });
  return { promise, settle };
}
