/**
 * Finds connections that are dead without anybody having said so. Who reads waits for `silentMsMax` at most. Who writes waits for as long
 * as the other side lives, which PINGs show: closing an index may take a server its time.
 */
const writeMsMax = 15 * 60_000;
const pollMsMax = 1000;

export interface Watched {
  readonly bytesRead: number;
  /** Written, and not gone yet. */
  readonly unsentBytes: number;
  /** False when it is known to be broken. */
  readonly isConnected: boolean;
  ping(answered: () => void): void;
  /** `ms`: how long there was nothing; undefined where it is known to be broken. */
  dead(ms: number | undefined): void;
}

export class SilenceWatch {
  readonly #silentMsMax: number;
  readonly #watched: Watched;
  #timer: NodeJS.Timeout | undefined;
  #readers = 0;
  #writers = 0;
  #progress = 0;
  #alive = 0;
  #bytesRead = 0;
  #unsentBytes = 0;
  #isPinging = false;

  constructor(silentMsMax: number, watched: Watched) {
    this.#silentMsMax = silentMsMax;
    this.#watched = watched;
  }

  begin(isReader: boolean): void {
    if (!this.#isWaitedFor) {
      this.#progress = Date.now();
      if (!this.#isPinging) this.#alive = this.#progress;
      clearInterval(this.#timer);
      this.#timer = setInterval(() => {
        this.#look();
      }, Math.min(pollMsMax, this.#silentMsMax / 10));
    }
    if (isReader) this.#readers++;
    else this.#writers++;
  }

  end(isReader: boolean): void {
    if (isReader) this.#readers--;
    else this.#writers--;
    // A PING without an answer is waited for: who gave up is not to leave a dead connection to the next.
    if (this.#isWaitedFor) return;
    if (this.#isPinging) this.#timer?.unref();
    else clearInterval(this.#timer);
  }

  /** Part of a request or an answer has passed. */
  progress(): void {
    this.#progress = Date.now();
    this.#alive = this.#progress;
  }

  get #isWaitedFor(): boolean {
    return this.#readers + this.#writers > 0;
  }

  #look(): void {
    if (!this.#isWaitedFor && !this.#isPinging) {
      clearInterval(this.#timer);
      return;
    }
    if (!this.#watched.isConnected) {
      clearInterval(this.#timer);
      this.#watched.dead(undefined);
      return;
    }
    const now = Date.now();
    const { bytesRead, unsentBytes } = this.#watched;
    if (bytesRead !== this.#bytesRead) this.#alive = now;
    // A whole window is one write: until all of it has gone there is no answer, and no PING leaves.
    if (unsentBytes < this.#unsentBytes) this.progress();
    this.#bytesRead = bytesRead;
    this.#unsentBytes = unsentBytes;
    const silent = now - (this.#readers > 0 ? Math.min(this.#progress, this.#alive) : this.#alive);
    const isTooLong = this.#isWaitedFor && now - this.#progress >= Math.max(writeMsMax, this.#silentMsMax);
    if (silent >= this.#silentMsMax || isTooLong) {
      clearInterval(this.#timer);
      this.#watched.dead(Math.max(silent, this.#silentMsMax));
    } else if (now - this.#alive >= this.#silentMsMax / 3 && !this.#isPinging) {
      this.#isPinging = true;
      this.#watched.ping(() => (this.#isPinging = false));
    }
  }
}
