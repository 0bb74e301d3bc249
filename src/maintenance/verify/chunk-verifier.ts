/** Verifies the chunks of many indexes, each once, on several threads. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { DigestSet } from '../../codec/digest-set.js';
import { StoreError } from '../../errors.js';
import { digestBytes, type ChunkIndex } from '../../format/chunk-index.js';
import type { ChunkFault, VerifyAnswer, VerifyBatch, VerifyRequest, VerifySetup } from './messages.js';

const threadsMax = 4;
const batchChunks = 32;
/** Digests that are remembered; with more, some are read again. */
const digestsMax = 2 << 20;

export interface ChunkFaultOf {
  readonly digest: Buffer;
  readonly kind: ChunkFault['kind'];
  readonly message: string;
}

export class ChunkVerifier {
  readonly #threads: Worker[] = [];
  readonly #setup: VerifySetup;
  readonly #count: number;
  #verified = { plain: new DigestSet(), encrypted: new DigestSet() };
  #faulty = new DigestSet();
  /** Of files that were read. */
  bytes = 0;

  /** At most `threads`, and never more than some or than there are cores. */
  constructor(chunksDirectory: string, threads = threadsMax) {
    this.#setup = { chunksDirectory };
    this.#count = Math.min(availableParallelism(), threads, threadsMax);
  }

  /** Faults of its chunks, also of those that were found before. INTERRUPTED. */
  async verify(index: ChunkIndex, encrypted: boolean, fault: (fault: ChunkFaultOf) => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    const batches = this.#batches(index, encrypted, fault);
    while (this.#threads.length < this.#count) this.#start();
    const results = await Promise.allSettled(this.#threads.map((thread) => this.#work(thread, batches, fault, signal)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Resolves when all threads have ended. */
  async close(): Promise<void> {
    await Promise.all(
      this.#threads.map(
        (thread) =>
          new Promise((resolve) => {
            thread.once('exit', resolve);
            thread.postMessage('end' satisfies VerifyRequest);
          }),
      ),
    );
  }

  #start(): void {
    const thread = new Worker(new URL('./thread.js', import.meta.url), { workerData: this.#setup, execArgv: [] });
    this.#threads.push(thread);
    // Told by whoever waits for its answer.
    thread.on('error', () => undefined);
    thread.on('exit', () => this.#threads.splice(this.#threads.indexOf(thread), 1));
  }

  /** All threads take from the same ones. */
  async #work(thread: Worker, batches: AsyncGenerator<VerifyBatch>, fault: (fault: ChunkFaultOf) => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      if (signal?.aborted === true) throw new StoreError('INTERRUPTED', 'the verification was stopped');
      const next = await batches.next();
      if (next.done === true) return;
      const batch = next.value;
      const { faults, bytes } = await answerOf(thread, batch);
      this.bytes += bytes;
      const bad = new Map(faults.map((each) => [each.position, each]));
      for (const position of batch.lengths.keys()) {
        const digest = Buffer.from(batch.digests.subarray(position * digestBytes, (position + 1) * digestBytes));
        const found = bad.get(position);
        if (found === undefined) this.#verifiedSet(batch.encrypted).add(digest);
        else await this.#tell(digest, found, fault);
      }
    }
  }

  async #tell(digest: Buffer, { kind, message }: ChunkFault, fault: (fault: ChunkFaultOf) => Promise<void>): Promise<void> {
    if (kind !== 'wrong') this.#faulty.add(digest);
    await fault({ digest, kind, message });
  }

  async *#batches(index: ChunkIndex, encrypted: boolean, fault: (fault: ChunkFaultOf) => Promise<void>): AsyncGenerator<VerifyBatch> {
    const seen = new DigestSet();
    let [digests, lengths]: [Buffer[], number[]] = [[], []];
    for (let i = 0; i < index.count; i++) {
      const digest = index.digestAt(i);
      if (!seen.add(digest) || this.#verifiedSet(encrypted).has(digest)) continue;
      if (this.#faulty.has(digest)) {
        await fault({ digest: Buffer.from(digest), kind: 'missing', message: `chunk ${digest.toString('hex')} was found missing or damaged before` });
        continue;
      }
      digests.push(digest);
      lengths.push(index.endOf(i) - index.startOf(i));
      if (lengths.length < batchChunks) continue;
      yield { digests: Buffer.concat(digests), lengths, encrypted };
      [digests, lengths] = [[], []];
    }
    if (lengths.length > 0) yield { digests: Buffer.concat(digests), lengths, encrypted };
  }

  #verifiedSet(encrypted: boolean): DigestSet {
    const kind = encrypted ? 'encrypted' : 'plain';
    if (this.#verified[kind].size >= digestsMax) this.#verified = { ...this.#verified, [kind]: new DigestSet() };
    return this.#verified[kind];
  }
}

function answerOf(thread: Worker, batch: VerifyBatch): Promise<VerifyAnswer> {
  return new Promise((resolve, reject) => {
    const ended = (cause?: unknown): void => {
      reject(new StoreError('CLOSED', 'a thread that verifies chunks ended before its work was done', { cause }));
    };
    thread.once('error', ended).once('exit', ended);
    thread.once('message', (answer: VerifyAnswer) => {
      thread.off('error', ended).off('exit', ended);
      resolve(answer);
    });
    thread.postMessage(batch satisfies VerifyRequest);
  });
}
