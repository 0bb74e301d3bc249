/** Logs of a server that are files: JSON, a line each, for their owner only. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { messageOf } from '../errors.js';

/** A reader who does not keep up makes lines be left out, not memory grow. */
const waitingBytesMax = 4 << 20;

export class LineLog {
  #stream: WriteStream;
  #isTold = false;

  /** A failure to log is told once to `warn`, and is no reason to end. */
  constructor(
    private readonly path: string,
    private readonly warn: (line: string) => void,
  ) {
    this.#stream = this.#open();
  }

  write(record: object): void {
    if (this.#stream.destroyed || this.#stream.writableLength > waitingBytesMax) return;
    this.#stream.write(`${JSON.stringify(record)}\n`);
  }

  /** The file that has the name now: after a rotation a new one. */
  reopen(): void {
    this.#stream.end();
    this.#isTold = false;
    this.#stream = this.#open();
  }

  #open(): WriteStream {
    const stream = createWriteStream(this.path, { flags: 'a', mode: 0o600 });
    stream.on('error', (error) => {
      if (!this.#isTold) this.warn(`${this.path} can't be written, its lines are lost: ${messageOf(error)}`);
      this.#isTold = true;
    });
    return stream;
  }
}
