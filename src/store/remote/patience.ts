/** What is asked of a server that may be away: again and again, until it answers or the time is over. */
import { StoreError, codeOf, messageOf } from '../../errors.js';
import { abortError, BackOff, unlessAborted, wait } from './back-off.js';

/** The kernel asks at once for a page that it could not read ahead, and is not to wait twice. */
const sameAnswerMs = 300;

export interface PatienceOptions {
  readonly timeoutMs: number;
  /** Who waits is not kept for longer than that by answers that come slowly. */
  readonly isBounded: boolean;
  readonly warn?: ((line: string) => void) | undefined;
}

export class Patience {
  readonly #timeoutMs: number;
  readonly #isBounded: boolean;
  readonly #warn: (line: string) => void;
  /** That the server can't be reached, until it is. */
  #isTold = false;
  /** When the time of somebody was over, and why, unless somebody had an answer since. */
  #gaveUp: { readonly ms: number; readonly silence: StoreError } | undefined;
  /** When part of an answer came. */
  #progressMs = -Infinity;
  readonly #closing = new AbortController();
  readonly #running = new Set<AbortController>();

  constructor({ timeoutMs, isBounded, warn = () => undefined }: PatienceOptions) {
    this.#timeoutMs = timeoutMs;
    this.#isBounded = isBounded;
    this.#warn = warn;
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** What waits then is rejected with CLOSED. */
  close(): void {
    this.#closing.abort();
    for (const each of this.#running) each.abort(new StoreError('CLOSED', 'the datastore was closed'));
  }

  /** Part of an answer has come, to whomever: sessions in which nothing comes end by themselves. */
  progress(): void {
    this.#progressMs = performance.now();
  }

  /** Rejects with UNREACHABLE when the timeout has passed without an answer, unless parts of answers may prolong it, or just has for others; with anything else at once. */
  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed) throw new StoreError('CLOSED', 'the datastore was closed');
    if (this.#gaveUp !== undefined && performance.now() - this.#gaveUp.ms < sameAnswerMs) throw this.#gaveUp.silence;
    const over = new AbortController();
    let failure: unknown;
    const ring = (): void => {
      const leftMs = this.#isBounded ? 0 : this.#progressMs + this.#timeoutMs - performance.now();
      if (leftMs > 0) {
        timer = setTimeout(ring, leftMs);
        return;
      }
      const silence = this.#silence(failure);
      this.#gaveUp = { ms: performance.now(), silence };
      this.#tell(silence);
      over.abort(silence);
    };
    let timer = setTimeout(ring, this.#timeoutMs);
    this.#running.add(over);
    try {
      for (const backOff = new BackOff(); ; ) {
        try {
          const result = await unlessAborted(over.signal, work(over.signal));
          this.#gaveUp = undefined;
          this.#tell(undefined);
          return result;
        } catch (error) {
          if (over.signal.aborted) throw abortError(over.signal);
          if (codeOf(error) !== 'UNREACHABLE') throw error;
          failure = error;
          this.#tell(error);
        }
        await wait(backOff.nextMs(), over.signal);
      }
    } finally {
      clearTimeout(timer);
      this.#running.delete(over);
    }
  }

  /** Before another attempt of something that goes on until the end. False when that has come. */
  async pause(ms: number): Promise<boolean> {
    await wait(ms, this.#closing.signal).catch(() => undefined);
    return !this.closed;
  }

  /** Once each time that it goes away, and when it is back. */
  #tell(failure: unknown): void {
    if (this.#isTold === (failure !== undefined)) return;
    this.#isTold = failure !== undefined;
    this.#warn(failure === undefined ? 'the server is reached again' : `${messageOf(failure)}; reads wait up to ${Math.round(this.#timeoutMs / 1000)} s for it, and then fail`);
  }

  #silence(failure: unknown): StoreError {
    if (failure instanceof StoreError) return failure;
    return new StoreError('UNREACHABLE', `the server did not answer within ${Math.round(this.#timeoutMs / 1000)} s`);
  }
}
