/**
 * Reads requests with blocking reads in the thread pool. Slower than epoll and takes two of the four threads of Node's pool for
 * as long as the mount lives: only where epoll does not work.
 */
import { read } from 'node:fs';
import type { Reader, ReaderEvents } from './reader.js';

const pumps = 2;
/** Interrupted, or the request vanished while it was copied. */
const again = new Set(['EINTR', 'EAGAIN', 'ENOENT']);

export class PumpReader implements Reader {
  readonly kind = 'pumps';
  readonly #fd: number;
  readonly #buffer: Buffer;
  readonly #close: () => void;
  #reading = 0;
  #end: NodeJS.ErrnoException | undefined;

  /** `close` is called when no thread reads any more. */
  constructor(fd: number, buffer: Buffer, close: () => void) {
    this.#fd = fd;
    this.#buffer = buffer;
    this.#close = close;
  }

  start(events: ReaderEvents): void {
    for (let i = 0; i < pumps; i += 1) {
      this.#reading += 1;
      this.#pump(Buffer.allocUnsafeSlow(this.#buffer.length), events);
    }
  }

  /** A thread in a read comes back when the next request arrives or the mount ends. */
  stop(): void {
    this.#end ??= Object.assign(new Error('the device was closed'), { code: 'EBADF' });
  }

  #pump(buffer: Buffer, events: ReaderEvents): void {
    read(this.#fd, buffer, 0, buffer.length, null, (error, length) => {
      if (error !== null && !again.has(error.code ?? '')) this.#end ??= error;
      if (this.#end !== undefined) return this.#leave(this.#end, events);
      if (error === null) {
        buffer.copy(this.#buffer, 0, 0, length);
        events.request(length);
      }
      this.#pump(buffer, events);
    });
  }

  #leave(error: NodeJS.ErrnoException, events: ReaderEvents): void {
    this.#reading -= 1;
    if (this.#reading > 0) return;
    this.#close();
    events.end(error);
  }
}
