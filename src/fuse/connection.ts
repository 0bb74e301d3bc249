/**
 * Serves one file system on one connection to the kernel: handshake, dispatch, answers in any order, interrupts.
 * Protocol: FUSE, sections 1.3, 2.9 and 6.4. Whatever arrives or is thrown, each request gets exactly one answer.
 */
import { constants } from 'node:os';
import { MountError, PbsfsError, codeOf, messageOf } from '../errors.js';
import { errnoOf } from '../vfs/errno.js';
import type { Directory, FileSystem, Ino, MaybePromise, OpenFile } from '../vfs/file-system.js';
import { deferred } from './deferred.js';
import { Handles } from './handles.js';
import { negotiate } from './init.js';
import { Notifications } from './notifications.js';
import { type Answer, Refusal, type Session } from './operation.js';
import { operations } from './operations/table.js';
import { OperationCounters } from './statistics.js';
import { type Transport, piecesMax } from './transport.js';
import { initReplyBytes, parseInit, writeInitReply } from './wire/init.js';
import { opcode, opcodeName } from './wire/opcode.js';
import { ReplyBuffer } from './wire/reply.js';
import { Request } from './wire/request.js';

const { EAGAIN, EINTR, EINVAL, ENOSYS, EPROTO } = constants.errno;
const rootNode = 1;
const initPayloadBytesMin = 16;
const interruptPayloadBytes = 8;
/** Each different unexpected failure is logged once, and no more than these. */
const reportsMax = 100;
/** Errors of a write that say that the connection, not the reply, is the matter; reading tells how it ends. */
const connectionGone = new Set(['ENODEV', 'EPERM', 'EBADF']);

/** A request whose answer is not there yet. */
interface Call {
  readonly opcode: number;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
}

function uniqueOf(low: number, high: number): number {
  return high * 2 ** 32 + low;
}

export interface ConnectionOptions {
  /** Let the kernel enforce POSIX ACLs; only where it checks permissions at all. */
  readonly posixAcl: boolean;
  readonly log: (line: string) => void;
}

export class Connection implements Session {
  readonly fileSystem: FileSystem;
  readonly files = new Handles<OpenFile>();
  readonly directories = new Handles<Directory>();
  readonly reply = new ReplyBuffer();
  readonly counters = new OperationCounters();
  /** Settles when the handshake is done or has failed. */
  readonly ready: Promise<void>;
  /** Resolves when the kernel has ended the connection, rejects when it broke. */
  readonly ended: Promise<void>;

  readonly #transport: Transport;
  readonly #options: ConnectionOptions;
  readonly #request: Request;
  readonly #inFlight = new Map<number, Call>();
  readonly #notifications: Notifications;
  readonly #reported = new Set<string>();
  readonly #readiness = deferred();
  readonly #ending = deferred();
  #state: 'new' | 'running' | 'ended' = 'new';

  constructor(fileSystem: FileSystem, transport: Transport, options: ConnectionOptions) {
    this.fileSystem = fileSystem;
    this.#transport = transport;
    this.#options = options;
    this.#request = new Request(transport.buffer);
    this.#notifications = new Notifications(transport);
    this.ready = this.#readiness.promise;
    this.ended = this.#ending.promise;
  }

  start(): void {
    this.#transport.start({ request: (length) => this.#receive(length), end: (error) => this.#end(error) });
  }

  inoOf(node: number): Ino {
    return node === rootNode ? this.fileSystem.root : node === this.fileSystem.root ? rootNode : node;
  }

  /** The same exchange of 1 and the root's number in the other direction. */
  nodeOf(ino: Ino): number {
    return this.inoOf(ino);
  }

  invalidateEntry(parent: Ino, name: Buffer): void {
    this.#notifications.invalidateEntry(this.nodeOf(parent), name);
  }

  invalidateInode(ino: Ino): void {
    this.#notifications.invalidateInode(this.nodeOf(ino));
  }

  answer<T>(request: Request, value: MaybePromise<T>, encode: (value: T) => Answer, discard?: (value: T) => void): void {
    if (!(value instanceof Promise)) {
      this.#finish(request, value, encode, discard);
      return;
    }
    const call: Call = { opcode: request.opcode, uniqueLow: request.uniqueLow, uniqueHigh: request.uniqueHigh };
    const unique = uniqueOf(call.uniqueLow, call.uniqueHigh);
    this.#inFlight.set(unique, call);
    value.then(
      (settled) => {
        if (this.#inFlight.delete(unique)) this.#finish(call, settled, encode, discard);
        else this.#discard(call, settled, discard);
      },
      (error: unknown) => {
        if (this.#inFlight.delete(unique)) this.#fail(call, error);
      },
    );
  }

  refuse(call: Call, errno: number): void {
    this.counters.countError(call.opcode);
    this.#write(call, this.reply.frame(call.uniqueLow, call.uniqueHigh, errno, 0));
  }

  #receive(length: number): void {
    const request = this.#request;
    if (!request.parse(length)) {
      this.#report(`the kernel sent ${length} bytes that are no request`);
      return;
    }
    this.counters.count(request.opcode);
    try {
      this.#dispatch(request);
    } catch (error) {
      this.#fail(request, error);
    }
  }

  #dispatch(request: Request): void {
    if (request.opcode === opcode.INIT) return this.#initialize(request);
    if (request.opcode === opcode.INTERRUPT) return this.#interrupt(request);
    const operation = operations.get(request.opcode);
    if (operation === undefined) return this.refuse(request, ENOSYS);
    if (request.payloadBytes < operation.payloadBytesMin) return this.refuse(request, EINVAL);
    operation.run(this, request);
  }

  #initialize(request: Request): void {
    if (request.payloadBytes < initPayloadBytesMin) return this.refuse(request, EINVAL);
    const negotiation = negotiate(parseInit(request), this.#options);
    if (negotiation.kind === 'refused') {
      this.refuse(request, EPROTO);
      this.#readiness.reject(new MountError('NO_FUSE', negotiation.reason));
      return;
    }
    writeInitReply(this.reply.payload, this.reply.payloadView, negotiation.reply);
    const written = this.#write(request, this.reply.frame(request.uniqueLow, request.uniqueHigh, 0, initReplyBytes));
    if (negotiation.kind === 'again' || !written) return;
    this.#state = 'running';
    this.#readiness.resolve();
  }

  /** Answers the target with EINTR; what it was waiting for is dropped when it comes. */
  #interrupt(request: Request): void {
    if (request.payloadBytes < interruptPayloadBytes) return;
    const unique = request.uint64(0);
    const target = this.#inFlight.get(unique);
    // A target that is not known was answered (and the kernel ignores this) or is still to be read (and the kernel asks again).
    if (target === undefined) return this.refuse(request, EAGAIN);
    this.#inFlight.delete(unique);
    this.refuse(target, EINTR);
  }

  #finish<T>(call: Call, value: T, encode: (value: T) => Answer, discard?: (value: T) => void): void {
    let delivered = false;
    try {
      const answer = encode(value);
      if (answer instanceof Refusal) return this.refuse(call, answer.errno);
      delivered = typeof answer === 'number' ? this.#sendEncoded(call, answer) : this.#sendPieces(call, answer);
    } catch (error) {
      this.#fail(call, error);
    }
    if (!delivered) this.#discard(call, value, discard);
  }

  #discard<T>(call: Call, value: T, discard?: (value: T) => void): void {
    try {
      discard?.(value);
    } catch (error) {
      this.#reportThrown(call, error);
    }
  }

  #fail(call: Call, error: unknown): void {
    if (!(error instanceof PbsfsError) && codeOf(error) === undefined) this.#reportThrown(call, error);
    this.refuse(call, errnoOf(error));
  }

  #sendEncoded(call: Call, payloadBytes: number): boolean {
    return this.#write(call, this.reply.frame(call.uniqueLow, call.uniqueHigh, 0, payloadBytes));
  }

  #sendPieces(call: Call, pieces: readonly Uint8Array[]): boolean {
    const parts: readonly Uint8Array[] = pieces.length < piecesMax ? pieces : [Buffer.concat(pieces)];
    let payloadBytes = 0;
    for (const part of parts) payloadBytes += part.length;
    this.reply.frame(call.uniqueLow, call.uniqueHigh, 0, payloadBytes);
    try {
      this.#transport.sendPieces([this.reply.header, ...parts]);
      return true;
    } catch (error) {
      return this.#notWritten(call, error, this.reply.header.length + payloadBytes);
    }
  }

  #write(call: Call, length: number): boolean {
    try {
      this.#transport.send(this.reply.bytes, length);
      return true;
    } catch (error) {
      return this.#notWritten(call, error, length);
    }
  }

  /** ENOENT is a request that nobody waits for any more. */
  #notWritten(call: Call, error: unknown, length: number): false {
    const code = codeOf(error) ?? '';
    if (code !== 'ENOENT' && !connectionGone.has(code)) {
      this.#report(`the kernel refused an answer of ${length} bytes to ${opcodeName(call.opcode)}: ${messageOf(error)}`);
    }
    return false;
  }

  #end(error: NodeJS.ErrnoException): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#inFlight.clear();
    this.#notifications.stop();
    this.files.closeAll();
    this.directories.closeAll();
    const broken = new MountError('MOUNT_FAILED', `the connection to the kernel ended: ${messageOf(error)}`, { cause: error });
    this.#readiness.reject(broken);
    if (error.code === 'ENODEV') this.#ending.resolve();
    else this.#ending.reject(broken);
  }

  #reportThrown(call: Call, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#report(`${opcodeName(call.opcode)} failed unexpectedly: ${text}`);
  }

  #report(line: string): void {
    if (this.#reported.size >= reportsMax || this.#reported.has(line)) return;
    this.#reported.add(line);
    this.#options.log(line);
  }
}
