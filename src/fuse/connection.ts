/**
 * Serves one file system on one connection to the kernel: handshake, dispatch, answers in any order, interrupts.
 * Protocol: linux/fuse.h. Whatever arrives or is thrown, each request gets exactly one answer.
 */
import { constants } from 'node:os';
import { MountError, messageOf } from '../errors.js';
import { errnoOf } from '../vfs/errno.js';
import type { Directory, FileSystem, Ino, MaybePromise, OpenFile } from '../vfs/file-system.js';
import { isWritable } from '../vfs/writable-file-system.js';
import { deferred } from './deferred.js';
import { FailureLog } from './failure-log.js';
import { Handles } from './handles.js';
import { negotiate } from './init.js';
import { Interrupts } from './interrupts.js';
import { Notifications } from './notifications.js';
import { LookupCounts } from './lookup-counts.js';
import { type Answer, type Operation, Refusal, type Session, type Writing } from './operation.js';
import { operations, writingOperations } from './operations/table.js';
import { type Call, ReplyWriter } from './reply-writer.js';
import { OperationCounters } from './statistics.js';
import type { Transport } from './transport.js';
import { initFlag, initReplyBytes, parseInit, writeInitReply } from './wire/init.js';
import { opcode } from './wire/opcode.js';
import type { ReplyBuffer } from './wire/reply.js';
import { Request } from './wire/request.js';

const { EAGAIN, EINTR, EINVAL, ENOSYS, EPROTO } = constants.errno;
const rootNode = 1;
const initPayloadBytesMin = 16;
const interruptPayloadBytes = 8;

/** A call whose answer is not there yet. */
interface WaitingCall extends Call {
  readonly thread: number;
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
  readonly reply: ReplyBuffer;
  /** Of a writable file system, from the handshake on. */
  writing: Writing | undefined;
  readonly counters = new OperationCounters();
  /** Settles when the handshake is done or has failed. */
  readonly ready: Promise<void>;
  /** Resolves when the kernel has ended the connection, rejects when it broke. */
  readonly ended: Promise<void>;

  readonly #transport: Transport;
  readonly #options: ConnectionOptions;
  readonly #request: Request;
  readonly #operations: ReadonlyMap<number, Operation>;
  readonly #waiting = new Map<number, WaitingCall>();
  readonly #interrupts = new Interrupts((unique) => this.#letGo(unique));
  readonly #notifications: Notifications;
  readonly #failures: FailureLog;
  readonly #writer: ReplyWriter;
  readonly #readiness = deferred();
  readonly #ending = deferred();
  #over = false;

  constructor(fileSystem: FileSystem, transport: Transport, options: ConnectionOptions) {
    this.fileSystem = fileSystem;
    this.#transport = transport;
    this.#options = options;
    this.#operations = isWritable(fileSystem) ? writingOperations : operations;
    this.#request = new Request(transport.buffer);
    this.#notifications = new Notifications(transport);
    this.#failures = new FailureLog(options.log);
    this.#writer = new ReplyWriter(transport, this.#failures);
    this.reply = this.#writer.buffer;
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
    const { opcode: number, uniqueLow, uniqueHigh, thread } = request;
    const call: WaitingCall = { opcode: number, uniqueLow, uniqueHigh, thread };
    const unique = uniqueHigh * 2 ** 32 + uniqueLow;
    this.#waiting.set(unique, call);
    value.then(
      (settled) => {
        if (this.#stopWaiting(unique)) this.#finish(call, settled, encode, discard);
        else this.#discard(call, settled, discard);
      },
      (error: unknown) => {
        if (this.#stopWaiting(unique)) this.#fail(call, error);
      },
    );
  }

  /** False if the call was let go meanwhile. */
  #stopWaiting(unique: number): boolean {
    this.#interrupts.remove(unique);
    return this.#waiting.delete(unique);
  }

  refuse(call: Call, errno: number): void {
    this.counters.countError(call.opcode);
    this.#writer.refusal(call, errno);
  }

  #receive(length: number): void {
    const request = this.#request;
    if (!request.parse(length)) {
      this.#failures.line(`the kernel sent ${length} bytes that are no request`);
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
    const operation = this.#operations.get(request.opcode);
    if (operation === undefined) return this.refuse(request, ENOSYS);
    if (request.payloadBytes < operation.payloadBytesMin) return this.refuse(request, EINVAL);
    operation.run(this, request);
  }

  #initialize(request: Request): void {
    if (request.payloadBytes < initPayloadBytesMin) return this.refuse(request, EINVAL);
    const negotiation = negotiate(parseInit(request), { ...this.#options, writable: isWritable(this.fileSystem) });
    if (negotiation.kind === 'refused') {
      this.refuse(request, EPROTO);
      this.#readiness.reject(new MountError('NO_FUSE', negotiation.reason));
      return;
    }
    writeInitReply(this.reply.payload, this.reply.payloadView, negotiation.reply);
    const written = this.#writer.encoded(request, initReplyBytes);
    if (negotiation.kind === 'again' || !written) return;
    this.writing = this.#startWriting((negotiation.reply.flags & initFlag.SETXATTR_EXT) !== 0);
    this.#readiness.resolve();
  }

  #startWriting(setxattrExtended: boolean): Writing | undefined {
    const { fileSystem } = this;
    if (!isWritable(fileSystem)) return undefined;
    const lookups = new LookupCounts((ino) => {
      try {
        fileSystem.writing.forget(ino);
      } catch (error) {
        this.#failures.thrown(opcode.FORGET, error);
      }
    });
    return { operations: fileSystem.writing, lookups, setxattrExtended };
  }

  #interrupt(request: Request): void {
    if (request.payloadBytes < interruptPayloadBytes) return;
    const unique = request.uint64(0);
    const target = this.#waiting.get(unique);
    // A target that is not known was answered (and the kernel ignores this) or is still to be read (and the kernel asks again).
    if (target === undefined) this.refuse(request, EAGAIN);
    else this.#interrupts.add(unique, target.thread);
  }

  /** What the call was waiting for is dropped when it comes. */
  #letGo(unique: number): void {
    const call = this.#waiting.get(unique);
    if (this.#stopWaiting(unique) && call !== undefined) this.refuse(call, EINTR);
  }

  #finish<T>(call: Call, value: T, encode: (value: T) => Answer, discard?: (value: T) => void): void {
    let delivered = false;
    try {
      const answer = encode(value);
      if (answer instanceof Refusal) return this.refuse(call, answer.errno);
      delivered = typeof answer === 'number' ? this.#writer.encoded(call, answer) : this.#writer.pieces(call, answer);
    } catch (error) {
      this.#fail(call, error);
    }
    if (!delivered) this.#discard(call, value, discard);
  }

  #discard<T>(call: Call, value: T, discard?: (value: T) => void): void {
    try {
      discard?.(value);
    } catch (error) {
      this.#failures.thrown(call.opcode, error);
    }
  }

  #fail(call: Call, error: unknown): void {
    this.#failures.thrown(call.opcode, error);
    this.refuse(call, errnoOf(error));
  }

  #end(error: NodeJS.ErrnoException): void {
    if (this.#over) return;
    this.#over = true;
    this.#waiting.clear();
    this.#interrupts.removeAll();
    this.#notifications.stop();
    this.writing?.lookups.stop();
    const report = (thrown: unknown): void => this.#failures.thrown(opcode.RELEASE, thrown);
    this.files.closeAll(report);
    this.directories.closeAll(report);
    const broken = new MountError('MOUNT_FAILED', `the connection to the kernel ended: ${messageOf(error)}`, { cause: error });
    this.#readiness.reject(broken);
    if (error.code === 'ENODEV') this.#ending.resolve();
    else this.#ending.reject(broken);
  }
}
