/** How requests get from a descriptor of /dev/fuse into a buffer. */

export interface ReaderEvents {
  /** The first `length` bytes of the reader's buffer are one request. */
  readonly request: (length: number) => void;
  /** Reading ended; the descriptor is closed as soon as nothing uses it. */
  readonly end: (error: NodeJS.ErrnoException) => void;
}

export interface Reader {
  readonly kind: 'epoll' | 'pumps';
  start(events: ReaderEvents): void;
  /** Ends reading; `end` follows. */
  stop(): void;
}
