/** The kernel's side of a connection without a kernel: sends requests, and keeps what is answered. */
import type { Transport, TransportEvents } from '../../src/fuse/transport.js';

export interface Reply {
  readonly unique: bigint;
  /** 0 or negative; positive for a notification. */
  readonly error: number;
  readonly payload: Buffer;
}

const rootNode = 1;

export class FakeTransport implements Transport {
  readonly buffer = Buffer.alloc(65536);
  readonly replies: Reply[] = [];
  readonly notifications: Reply[] = [];
  /** The code of the error that the next reply meets. */
  refuse: string | undefined;
  closed = false;
  /** Who asks. */
  caller = { uid: 0, gid: 0, pid: 0 };
  #events: TransportEvents | undefined;
  #unique = 0n;

  start(events: TransportEvents): void {
    this.#events = events;
  }

  /** Gives the request's unique number. */
  request(opcode: number, payload: Buffer = Buffer.alloc(0), node = rootNode): bigint {
    this.#unique += 2n;
    this.raw(opcode, payload, { unique: this.#unique, node });
    return this.#unique;
  }

  raw(opcode: number, payload: Buffer, { unique, node }: { unique: bigint; node: number }): void {
    const length = 40 + payload.length;
    this.buffer.fill(0xee);
    this.buffer.writeUInt32LE(length, 0);
    this.buffer.writeUInt32LE(opcode, 4);
    this.buffer.writeBigUInt64LE(unique, 8);
    this.buffer.writeBigUInt64LE(BigInt(node), 16);
    this.buffer.fill(0, 24, 40);
    this.buffer.writeUInt32LE(this.caller.uid, 24);
    this.buffer.writeUInt32LE(this.caller.gid, 28);
    this.buffer.writeUInt32LE(this.caller.pid, 32);
    payload.copy(this.buffer, 40);
    this.#events?.request(length);
  }

  /** The first `length` bytes of the buffer, whatever they are. */
  rawBytes(bytes: Buffer): void {
    bytes.copy(this.buffer);
    this.#events?.request(bytes.length);
  }

  end(code: string): void {
    this.#events?.end(Object.assign(new Error(code), { code }));
  }

  send(reply: Buffer, length: number): void {
    this.#keep(Buffer.from(reply.subarray(0, length)), this.replies);
  }

  sendPieces(pieces: Uint8Array[]): void {
    if (pieces.length > 1024) throw Object.assign(new Error('EINVAL'), { code: 'EINVAL' });
    this.#keep(Buffer.concat(pieces), this.replies);
  }

  async notify(message: Buffer): Promise<void> {
    await Promise.resolve();
    this.#keep(Buffer.from(message), this.notifications);
  }

  close(): void {
    this.closed = true;
  }

  /** The only reply to `unique`. */
  replyTo(unique: bigint): Reply {
    const found = this.replies.filter((reply) => reply.unique === unique);
    const [reply] = found;
    if (reply === undefined || found.length > 1) throw new Error(`${found.length} replies to ${unique}`);
    return reply;
  }

  #keep(bytes: Buffer, kept: Reply[]): void {
    const { refuse } = this;
    this.refuse = undefined;
    if (refuse !== undefined) throw Object.assign(new Error(refuse), { code: refuse });
    if (bytes.readUInt32LE(0) !== bytes.length) throw new Error(`a reply of ${bytes.length} bytes says ${bytes.readUInt32LE(0)}`);
    const error = bytes.readInt32LE(4);
    if (error < 0 && bytes.length !== 16) throw new Error('an error with a payload');
    kept.push({ unique: bytes.readBigUInt64LE(8), error, payload: bytes.subarray(16) });
  }
}
