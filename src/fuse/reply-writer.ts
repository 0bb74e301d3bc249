/** Sends answers. What is encoded in the buffer is sent before anything else runs. */
import { codeOf, messageOf } from '../errors.js';
import type { FailureLog } from './failure-log.js';
import { type Transport, piecesMax } from './transport.js';
import { opcodeName } from './wire/opcode.js';
import { ReplyBuffer, replyHeaderBytes } from './wire/reply.js';

/** Errors that say that the connection, not the reply, is the matter; reading tells how it ends. */
const connectionGone = new Set(['ENODEV', 'EPERM', 'EBADF']);

/** What is answered. */
export interface Call {
  readonly opcode: number;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
}

/** All methods tell whether the kernel took the answer. */
export class ReplyWriter {
  readonly buffer = new ReplyBuffer();
  readonly #transport: Transport;
  readonly #failures: FailureLog;

  constructor(transport: Transport, failures: FailureLog) {
    this.#transport = transport;
    this.#failures = failures;
  }

  /** A payload that was encoded in the buffer. */
  encoded(call: Call, payloadBytes: number): boolean {
    return this.#write(call, 0, payloadBytes);
  }

  refusal(call: Call, errno: number): boolean {
    return this.#write(call, errno, 0);
  }

  pieces(call: Call, pieces: readonly Uint8Array[]): boolean {
    const parts: readonly Uint8Array[] = pieces.length < piecesMax ? pieces : [Buffer.concat(pieces)];
    let payloadBytes = 0;
    for (const part of parts) payloadBytes += part.length;
    this.buffer.frame(call.uniqueLow, call.uniqueHigh, 0, payloadBytes);
    try {
      this.#transport.sendPieces([this.buffer.header, ...parts]);
      return true;
    } catch (error) {
      return this.#notWritten(call, error, replyHeaderBytes + payloadBytes);
    }
  }

  #write(call: Call, errno: number, payloadBytes: number): boolean {
    const length = this.buffer.frame(call.uniqueLow, call.uniqueHigh, errno, payloadBytes);
    try {
      this.#transport.send(this.buffer.bytes, length);
      return true;
    } catch (error) {
      return this.#notWritten(call, error, length);
    }
  }

  /** ENOENT is a request that nobody waits for any more. */
  #notWritten(call: Call, error: unknown, length: number): false {
    const code = codeOf(error) ?? '';
    if (code !== 'ENOENT' && !connectionGone.has(code)) {
      this.#failures.line(`the kernel refused an answer of ${length} bytes to ${opcodeName(call.opcode)}: ${messageOf(error)}`);
    }
    return false;
  }
}
