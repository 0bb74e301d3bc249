/**
 * Answers about namespaces that are believed for a short time: as long as a server needed for them, times some. One question at a time for
 * each namespace; while the server is away the last answer stands.
 */
import { LRUCache } from 'lru-cache';
import { codeOf } from '../../errors.js';
import { formatNamespace, type Namespace } from '../../format/namespace.js';

const freshMsMin = 2000;
const freshMsMax = 30_000;
/** A token costs a server up to 50 ms for each question, and 10,000 snapshots some seconds. */
const freshPerAskingMs = 5;
/** How old an answer may be that stands in for a server that is away. */
const staleMsMax = 3_600_000;
const namespacesMax = 256;

interface Slot<T> {
  asking: Promise<T> | undefined;
  answer: { readonly value: T; readonly ms: number; readonly freshMs: number } | undefined;
  /** When somebody wanted to know. */
  wantedMs: number;
}

export interface KeptAnswersOptions<T> {
  readonly ask: (namespace: Namespace) => Promise<T>;
  /** Whether the server is known not to be there at the moment. */
  readonly isAway: () => boolean;
  /** Told of each answer that follows another one. */
  readonly changed?: (namespace: Namespace, before: T, now: T) => void;
}

export class KeptAnswers<T extends object> {
  readonly #options: KeptAnswersOptions<T>;
  readonly #slots = new LRUCache<string, Slot<T>>({ max: namespacesMax });

  constructor(options: KeptAnswersOptions<T>) {
    this.#options = options;
  }

  get(namespace: Namespace): Promise<T> {
    const slot = this.#slot(namespace);
    slot.wantedMs = performance.now();
    return this.#fresh(namespace, slot, 1);
  }

  /** Asks again, as a poll does, about what somebody wanted to know in the last `wantedMs`; seldom if a server takes long to answer. */
  async renew(wantedMs: number): Promise<void> {
    const since = performance.now() - wantedMs;
    for (const [key, slot] of [...this.#slots.entries()]) {
      if (slot.wantedMs > since) await this.#fresh(key === '' ? [] : key.split('/'), slot, 2).catch(() => undefined);
    }
  }

  /** What is asked from now on is answered by the server. */
  drop(namespace: Namespace): void {
    const key = formatNamespace(namespace);
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    // The answer to what is being asked may be of the time before: nobody gets it who asks now.
    const { answer, wantedMs } = slot;
    this.#slots.set(key, { asking: undefined, answer: answer && { ...answer, ms: -Infinity }, wantedMs });
  }

  clear(): void {
    this.#slots.clear();
  }

  #slot(namespace: Namespace): Slot<T> {
    const key = formatNamespace(namespace);
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = { asking: undefined, answer: undefined, wantedMs: 0 };
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #fresh(namespace: Namespace, slot: Slot<T>, patience: number): Promise<T> {
    const { answer } = slot;
    const ageMs = performance.now() - (answer?.ms ?? -Infinity);
    if (answer !== undefined && ageMs < answer.freshMs * patience) return Promise.resolve(answer.value);
    slot.asking ??= this.#ask(namespace, slot);
    return answer !== undefined && ageMs < staleMsMax && this.#options.isAway() ? Promise.resolve(answer.value) : slot.asking;
  }

  #ask(namespace: Namespace, slot: Slot<T>): Promise<T> {
    const asking = this.#answered(namespace, slot).finally(() => {
      slot.asking = undefined;
    });
    // Nobody may wait for it.
    asking.catch(() => undefined);
    return asking;
  }

  async #answered(namespace: Namespace, slot: Slot<T>): Promise<T> {
    const begun = performance.now();
    const before = slot.answer;
    try {
      const value = await this.#options.ask(namespace);
      const ms = performance.now();
      const freshMs = Math.min(Math.max((ms - begun) * freshPerAskingMs, freshMsMin), freshMsMax);
      slot.answer = { value, ms, freshMs };
      if (before !== undefined) this.#options.changed?.(namespace, before.value, value);
      return value;
    } catch (error) {
      if (before !== undefined && begun - before.ms < staleMsMax && codeOf(error) === 'UNREACHABLE') return before.value;
      if (codeOf(error) !== 'UNREACHABLE') slot.answer = undefined;
      throw error;
    }
  }
}
