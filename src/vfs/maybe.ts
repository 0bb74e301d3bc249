/** Chains values that may be at hand or promised, without a turn of the event loop for those at hand. */
import type { MaybePromise } from './file-system.js';

export function andThen<T, U>(value: MaybePromise<T>, use: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(use) : use(value);
}
