/**
 * Lets the event loop of Node wait for requests. Node has no public way to poll a character device, so the descriptor is opened
 * through the class of its pipe handles. Where that class is not as expected, `openEpollReader` gives undefined and leaves the
 * descriptor as it is.
 */
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { Reader, ReaderEvents } from './reader.js';

interface PipeHandle {
  open(fd: number): number;
  close(callback?: () => void): void;
  readStop(): number;
  setBlocking(on: boolean): number;
}
type PipeHandleClass = new (type: number) => PipeHandle;

const pipeTypeSocket = 0;
const methods = ['open', 'close', 'readStop', 'setBlocking'] as const;

function pipeHandleClass(): PipeHandleClass | undefined {
  const socket = new Socket();
  socket.on('error', () => undefined);
  try {
    socket.connect('/nonexistent/socket');
    const handle = (socket as unknown as { _handle?: Partial<PipeHandle> | null })._handle;
    if (handle === undefined || handle === null) return undefined;
    return methods.every((name) => typeof handle[name] === 'function') ? (handle.constructor as PipeHandleClass) : undefined;
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}

export class EpollReader implements Reader {
  readonly kind = 'epoll';
  readonly #handle: PipeHandle;
  readonly #buffer: Buffer;
  #socket: Socket | undefined;

  /** `closing` is called before the descriptor is closed, which waits for its promise. */
  constructor(handle: PipeHandle, buffer: Buffer, closing: () => Promise<void>) {
    this.#handle = handle;
    this.#buffer = buffer;
    const close = handle.close.bind(handle);
    handle.close = (callback) => {
      handle.readStop();
      void closing().then(() => close(callback));
    };
  }

  start(events: ReaderEvents): void {
    const socket = new Socket({
      handle: this.#handle,
      readable: true,
      writable: false,
      onread: {
        buffer: this.#buffer,
        callback: (length: number) => {
          events.request(length);
          return true;
        },
      },
    } as SocketConstructorOpts);
    this.#socket = socket;
    let error: NodeJS.ErrnoException = Object.assign(new Error('the device was closed'), { code: 'EBADF' });
    socket.on('error', (reason) => {
      error = reason;
    });
    socket.on('close', () => events.end(error));
    socket.read(0);
  }

  stop(): void {
    if (this.#socket === undefined) this.#handle.close();
    else this.#socket.destroy();
  }

  /** Leaves the descriptor, which stays open, to someone who reads it with blocking calls. Returns what closes it. */
  abandon(): () => void {
    this.#handle.readStop();
    this.#handle.setBlocking(true);
    return () => this.stop();
  }
}

export function openEpollReader(fd: number, buffer: Buffer, closing: () => Promise<void>): EpollReader | undefined {
  const PipeHandle = pipeHandleClass();
  if (PipeHandle === undefined) return undefined;
  const handle = new PipeHandle(pipeTypeSocket);
  return handle.open(fd) === 0 ? new EpollReader(handle, buffer, closing) : undefined;
}
