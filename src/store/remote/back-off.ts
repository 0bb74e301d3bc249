/** Waiting between attempts: longer each time, and not at the same moments as all others that lost the same server. */
import { setMaxListeners } from 'node:events';
import { StoreError } from '../../errors.js';

const firstMs = 100;
const mostMs = 5000;

export class BackOff {
  #ms = firstMs;

  /** How long to wait before the next attempt, in milliseconds. */
  nextMs(): number {
    const ms = this.#ms;
    this.#ms = Math.min(mostMs, ms * 2);
    return ms / 2 + (Math.random() * ms) / 2;
  }
}

/** Rejects with the reason of `signal` as soon as it is aborted. */
export function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return abortable(signal, (done) => {
    const timer = setTimeout(done, ms);
    return () => {
      clearTimeout(timer);
    };
  });
}

/** What `start` resolves or rejects; when `signal` is aborted it is stopped (by what `start` returned) and the promise rejected. */
export function abortable<T>(
  signal: AbortSignal | undefined,
  start: (done: (value: T) => void, fail: (error: Error) => void) => (reason: Error) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(abortError(signal));
      return;
    }
    const onAbort = (): void => {
      const reason = abortError(signal);
      reject(reason);
      stop(reason);
    };
    const settled = <V>(settle: (value: V) => void) => (value: V) => {
      signal?.removeEventListener('abort', onAbort);
      settle(value);
    };
    // A signal may end any number of requests.
    if (signal !== undefined) setMaxListeners(0, signal);
    signal?.addEventListener('abort', onAbort, { once: true });
    const stop = start(settled(resolve), settled(reject));
  });
}

/** What others wait for too goes on when `signal` is aborted; only this waiting ends. */
export function unlessAborted<T>(signal: AbortSignal | undefined, promise: Promise<T>): Promise<T> {
  // Nobody may wait for it by now.
  promise.catch(() => undefined);
  return abortable(signal, (done, fail) => {
    promise.then(done, fail);
    return () => undefined;
  });
}

/** One of our own errors as it is. */
export function abortError(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  if (reason instanceof StoreError) return reason;
  return new StoreError('INTERRUPTED', 'interrupted', { cause: reason });
}
