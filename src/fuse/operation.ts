/** What the operations on files and directories are given, and how they answer. */
import type { Directory, FileSystem, Ino, MaybePromise, OpenFile } from '../vfs/file-system.js';
import type { WriteOperations } from '../vfs/writable-file-system.js';
import type { Handles } from './handles.js';
import type { LookupCounts } from './lookup-counts.js';
import type { ReplyBuffer } from './wire/reply.js';
import type { Request } from './wire/request.js';

/** The length of a payload that was encoded in the reply buffer, or the pieces of one that lies elsewhere, or a refusal. */
export type Answer = number | readonly Uint8Array[] | Refusal;

/** An errno (positive) that a file system has no error for. */
export class Refusal {
  constructor(readonly errno: number) {}
}

export interface Writing {
  readonly operations: WriteOperations;
  readonly lookups: LookupCounts;
  /** SETXATTR has the longer header. */
  readonly setxattrExtended: boolean;
}

export interface Session {
  readonly fileSystem: FileSystem;
  readonly files: Handles<OpenFile>;
  readonly directories: Handles<Directory>;
  readonly reply: ReplyBuffer;
  /** Of a writable file system. */
  readonly writing: Writing | undefined;
  /** The kernel calls the root 1; every other node has the number of its inode. */
  inoOf(node: number): Ino;
  nodeOf(ino: Ino): number;
  /**
   * Answers the request when `value` is there: `encode` makes the answer, and it is sent in the same turn. `discard` takes back
   * a value that nobody waits for any more (the caller was interrupted or the connection is gone).
   */
  answer<T>(request: Request, value: MaybePromise<T>, encode: (value: T) => Answer, discard?: (value: T) => void): void;
  refuse(request: Request, errno: number): void;
}

/** Answers through the session exactly once, now or later, or throws now. */
export interface Operation {
  readonly payloadBytesMin: number;
  run(session: Session, request: Request): void;
}
