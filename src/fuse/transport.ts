/** The way to and from the kernel. */

/** A reply goes out in at most so many pieces (IOV_MAX). */
export const piecesMax = 1024;

export interface TransportEvents {
  /** The first `length` bytes of the transport's buffer are one request; the buffer is used again after the call. */
  readonly request: (length: number) => void;
  /** No more requests: unmounted (ENODEV), or broken. Called once, when nothing can be sent any more. */
  readonly end: (error: NodeJS.ErrnoException) => void;
}

export interface Transport {
  /** Where requests are read into. */
  readonly buffer: Buffer;
  start(events: TransportEvents): void;
  /** One whole reply, the first `length` bytes; throws the system's error. */
  send(reply: Buffer, length: number): void;
  /** One whole reply in pieces; throws the system's error. */
  sendPieces(pieces: Uint8Array[]): void;
  /** Never blocks the caller: the kernel may take locks for a notification that it holds until a request is answered. */
  notify(message: Buffer): Promise<void>;
  /** Stops reading and gives the descriptor back; later callers of the mount get ENOTCONN. */
  close(): void;
}
