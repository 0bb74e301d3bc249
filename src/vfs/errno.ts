/** The one table from error codes to errno. Anything that is not an error of ours or of the system is EIO. */
import { constants } from 'node:os';
import { PbsfsError, type ErrorCode } from '../errors.js';

const { errno } = constants;

const errnoOfCode: Partial<Record<ErrorCode, number>> = {
  KEY_REQUIRED: errno.EACCES,
  WRONG_KEY: errno.EACCES,
  NO_PERMISSION: errno.EACCES,
  LOGIN_FAILED: errno.EACCES,
  UNTRUSTED: errno.EACCES,
  NOT_FOUND: errno.ENOENT,
  CLOSED: errno.EIO,
  NOT_A_DIRECTORY: errno.ENOTDIR,
  IS_A_DIRECTORY: errno.EISDIR,
  NOT_A_LINK: errno.EINVAL,
  STALE: errno.ESTALE,
  NO_DATA: errno.ENODATA,
  NO_SUCH_ADDRESS: errno.ENXIO,
  READ_ONLY: errno.EROFS,
  EXISTS: errno.EEXIST,
  NOT_EMPTY: errno.ENOTEMPTY,
  NO_SPACE: errno.ENOSPC,
  QUOTA: errno.EDQUOT,
  TOO_LARGE: errno.EFBIG,
  CROSS_DEVICE: errno.EXDEV,
  NAME_TOO_LONG: errno.ENAMETOOLONG,
  TOO_MANY_LINKS: errno.EMLINK,
  NOT_PERMITTED: errno.EPERM,
  NOT_SUPPORTED: errno.EOPNOTSUPP,
  INVALID_ARGUMENT: errno.EINVAL,
  BUSY: errno.EBUSY,
  LOCKED: errno.EBUSY,
  MAINTENANCE: errno.EBUSY,
  NOT_OWNER: errno.EACCES,
};

/** A positive errno for anything that was thrown. */
export function errnoOf(error: unknown): number {
  if (error instanceof PbsfsError) return errnoOfCode[error.code] ?? errno.EIO;
  const system = (error as { errno?: unknown } | null)?.errno;
  if (typeof system === 'number' && system < 0 && system >= -511) return -system;
  return errno.EIO;
}
