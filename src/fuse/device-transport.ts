/**
 * Requests and replies on a mounted descriptor of /dev/fuse. Reads with epoll, and with pumps where epoll is not to be had or
 * stays silent although the kernel has sent the handshake.
 */
import { closeSync, write, writeSync, writevSync } from 'node:fs';
import { promisify } from 'node:util';
import { type EpollReader, openEpollReader } from './epoll-reader.js';
import { PumpReader } from './pump-reader.js';
import type { Reader, ReaderEvents } from './reader.js';
import type { Transport, TransportEvents } from './transport.js';

const silenceMsMax = 2000;
const slower = 'the event loop cannot wait for /dev/fuse; reading it in the thread pool, which is slower';
const writeAsync = promisify(write) as (fd: number, bytes: Buffer, offset: number, length: number) => Promise<unknown>;

export type ReaderKind = Reader['kind'];

export class DeviceTransport implements Transport {
  readonly buffer: Buffer;
  readonly #fd: number;
  readonly #log: (line: string) => void;
  readonly #epoll: EpollReader | undefined;
  #reader: Reader;
  #writing: Promise<unknown> = Promise.resolve();
  #open = true;

  constructor(fd: number, options: { reader: ReaderKind; requestBytesMax: number; log: (line: string) => void }) {
    this.buffer = Buffer.allocUnsafeSlow(options.requestBytesMax);
    this.#fd = fd;
    this.#log = options.log;
    this.#epoll = options.reader === 'epoll' ? openEpollReader(fd, this.buffer, () => this.#closing()) : undefined;
    this.#reader = this.#epoll ?? new PumpReader(fd, this.buffer, () => void this.#closing().then(() => closeSync(fd)));
    if (options.reader !== this.#reader.kind) this.#log(slower);
  }

  get readerKind(): ReaderKind {
    return this.#reader.kind;
  }

  start(events: TransportEvents): void {
    let silent = true;
    const silence = setTimeout(() => {
      if (silent) this.#fallBack(readerEvents);
    }, silenceMsMax);
    const readerEvents: ReaderEvents = {
      request: (length) => {
        silent = false;
        events.request(length);
      },
      end: (error) => {
        clearTimeout(silence);
        events.end(error);
      },
    };
    this.#reader.start(readerEvents);
  }

  send(reply: Buffer, length: number): void {
    this.#check();
    writeSync(this.#fd, reply, 0, length);
  }

  sendPieces(pieces: Uint8Array[]): void {
    this.#check();
    writevSync(this.#fd, pieces);
  }

  async notify(message: Buffer): Promise<void> {
    this.#check();
    const written = writeAsync(this.#fd, message, 0, message.length);
    this.#writing = written.catch(() => undefined);
    await written;
  }

  close(): void {
    this.#reader.stop();
  }

  #fallBack(events: ReaderEvents): void {
    if (this.#epoll === undefined || !this.#open) return;
    this.#log(slower);
    this.#reader = new PumpReader(this.#fd, this.buffer, this.#epoll.abandon());
    this.#reader.start(events);
  }

  /** From here on the number of the descriptor may soon be another file's: nothing may be written to it any more. */
  async #closing(): Promise<void> {
    this.#open = false;
    await this.#writing;
  }

  #check(): void {
    if (!this.#open) throw Object.assign(new Error('the connection to the kernel is closed'), { code: 'EBADF' });
  }
}
