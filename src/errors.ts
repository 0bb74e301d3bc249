/**
 * The one error hierarchy. A code is a stable literal that scripts and the tables in vfs/errno.ts and
 * cli/exit-status.ts depend on; a message says what is wrong, where, and what can be done about it.
 */

export type FormatErrorCode =
  | 'BAD_MAGIC'
  | 'BAD_CRC'
  | 'BAD_CHECKSUM'
  | 'BAD_STRUCTURE'
  | 'BAD_NAME'
  | 'TRUNCATED'
  | 'LIMIT_EXCEEDED'
  | 'UNSUPPORTED_VERSION';

export type CryptoErrorCode =
  | 'KEY_REQUIRED'
  | 'WRONG_KEY'
  | 'WRONG_PASSWORD'
  | 'PASSWORD_REQUIRED'
  | 'BAD_KEY_FILE'
  | 'BAD_TAG'
  | 'BAD_SIGNATURE';

export type StoreErrorCode =
  | 'NOT_A_DATASTORE'
  | 'NOT_FOUND'
  | 'AMBIGUOUS'
  | 'CHUNK_MISSING'
  | 'CHUNK_CORRUPT'
  | 'MANIFEST_MISMATCH'
  | 'UNFINISHED'
  | 'NO_PERMISSION'
  | 'EXISTS'
  | 'LOCKED'
  | 'MAINTENANCE'
  | 'NOT_OWNER'
  | 'INTERRUPTED'
  | 'UNREACHABLE'
  | 'LOGIN_FAILED'
  | 'UNTRUSTED'
  | 'PROTOCOL'
  | 'REFUSED'
  | 'CLOSED';

export type FileErrorCode =
  | 'NOT_A_DIRECTORY'
  | 'IS_A_DIRECTORY'
  | 'NOT_A_LINK'
  | 'STALE'
  | 'NO_DATA'
  | 'NO_SUCH_ADDRESS'
  | 'READ_ONLY'
  | 'NOT_EMPTY'
  | 'NO_SPACE'
  | 'QUOTA'
  | 'TOO_LARGE'
  | 'CROSS_DEVICE'
  | 'NAME_TOO_LONG'
  | 'TOO_MANY_LINKS'
  | 'NOT_PERMITTED'
  | 'NOT_SUPPORTED'
  | 'INVALID_ARGUMENT';

export type MountErrorCode =
  | 'MOUNT_POINT'
  | 'NO_FUSE'
  | 'NO_PRIVILEGE'
  | 'MOUNT_FAILED'
  | 'NOT_MOUNTED'
  | 'BUSY';

export type UsageErrorCode = 'USAGE';

export type ErrorCode =
  | FormatErrorCode
  | CryptoErrorCode
  | StoreErrorCode
  | FileErrorCode
  | MountErrorCode
  | UsageErrorCode;

export class PbsfsError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Bytes that are not what their format says. */
export class FormatError extends PbsfsError {
  declare readonly code: FormatErrorCode;
  constructor(code: FormatErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}

/** A key, password, tag or signature that is missing or does not fit. */
export class CryptoError extends PbsfsError {
  declare readonly code: CryptoErrorCode;
  constructor(code: CryptoErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}

/** A datastore, or something in one, that is not there or not usable. */
export class StoreError extends PbsfsError {
  declare readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}

/** A file operation that the addressed file does not allow. */
export class FileError extends PbsfsError {
  declare readonly code: FileErrorCode;
  constructor(code: FileErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}

/** Mounting or unmounting that did not work. */
export class MountError extends PbsfsError {
  declare readonly code: MountErrorCode;
  constructor(code: MountErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}

/** A request that makes no sense as typed. */
export class UsageError extends PbsfsError {
  declare readonly code: UsageErrorCode;
  constructor(message: string, options?: { cause?: unknown }) {
    super('USAGE', message, options);
  }
}

/** The message of anything that was thrown, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s+/g, (spaces) => (spaces.includes('\n') ? ' ' : spaces));
}

/** The `code` of one of our errors or of a system error of Node; undefined for anything else. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
