/**
 * Whom to answer EINTR. The kernel tells of every signal, also of one that is handled or that stops the caller; EINTR would be an
 * error there that the program does not expect. So only a caller that is dying is let go; the others get what they wait for, and
 * are looked at again until then, as a later signal is not told.
 */
import { isDying } from '../os/process-signals.js';

const lookIntervalMs = 100;

export class Interrupts {
  readonly #letGo: (unique: number) => void;
  /** Interrupted calls that are not answered: the thread that waits. */
  readonly #waiting = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;

  /** `letGo` answers the call. */
  constructor(letGo: (unique: number) => void) {
    this.#letGo = letGo;
  }

  /** `thread` is 0 where the caller is not known: it is let go. */
  add(unique: number, thread: number): void {
    this.#waiting.set(unique, thread);
    this.#look(unique, thread);
    if (this.#waiting.size > 0) this.#timer ??= setInterval(() => this.#lookAtAll(), lookIntervalMs);
  }

  /** The call is answered. */
  remove(unique: number): void {
    this.#waiting.delete(unique);
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  removeAll(): void {
    for (const unique of [...this.#waiting.keys()]) this.remove(unique);
  }

  #lookAtAll(): void {
    for (const [unique, thread] of [...this.#waiting]) this.#look(unique, thread);
  }

  #look(unique: number, thread: number): void {
    if (thread === 0 || isDying(thread)) this.#letGo(unique);
  }
}
