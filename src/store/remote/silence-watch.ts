/**
 * Finds connections that are dead without anybody having said so. Who reads waits for `silentMsMax` at most. Who writes waits for as long
 * as the other side lives, which PINGs show: closing an index may take a server its time.
 */
const writeMsMax = 15 * 60_000;
const pollMsMax = 1000;

export interface Watched {
  readonly bytesRead: number;
  ping(answered: () => void): void;
  /** `ms`: how long there was nothing. */
  dead(ms: number): void;
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
  #isPinging = false;

  constructor(silentMsMax: number, watched: Watched) {
    this.#silentMsMax = silentMsMax;
    this.#watched = watched;
  }

  begin(isReader: boolean): void {
    if (this.#readers + this.#writers === 0) {
      this.progress();
      this.#timer = setInterval(() => {
        this.#look();
      }, Math.min(pollMsMax, this.#silentMsMax / 10)).unref();
    }
    if (isReader) this.#readers++;
    else this.#writers++;
  }

  end(isReader: boolean): void {
    if (isReader) this.#readers--;
    else this.#writers--;
    if (this.#readers + this.#writers === 0) clearInterval(this.#timer);
  }

  /** Part of a request or an answer has passed. */
  progress(): void {
    this.#progress = Date.now();
    this.#alive = this.#progress;
  }

  #look(): void {
    const now = Date.now();
    const { bytesRead } = this.#watched;
    if (bytesRead !== this.#bytesRead) this.#alive = now;
    this.#bytesRead = bytesRead;
    const silent = now - (this.#readers > 0 ? this.#progress : this.#alive);
    if (silent >= this.#silentMsMax || now - this.#progress >= Math.max(writeMsMax, this.#silentMsMax)) {
      clearInterval(this.#timer);
      this.#watched.dead(Math.max(silent, this.#silentMsMax));
    } else if (now - this.#alive >= this.#silentMsMax / 3 && !this.#isPinging) {
      this.#isPinging = true;
      this.#watched.ping(() => (this.#isPinging = false));
    }
  }
}
