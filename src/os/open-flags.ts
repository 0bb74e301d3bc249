/** Flags of open(2) for `openAt`. Some values differ between architectures: Node knows those of this one. */
import { constants } from 'node:fs';

/** The same on x86-64 and arm64; Node has no names for them. */
const O_PATH = 0x20_0000;
const O_CLOEXEC = 0x8_0000;
const O_TMPFILE = 0x40_0000 | constants.O_DIRECTORY;

export const openFlags = {
  O_RDONLY: constants.O_RDONLY,
  O_WRONLY: constants.O_WRONLY,
  O_RDWR: constants.O_RDWR,
  O_CREAT: constants.O_CREAT,
  O_EXCL: constants.O_EXCL,
  O_TRUNC: constants.O_TRUNC,
  O_APPEND: constants.O_APPEND,
  O_DIRECTORY: constants.O_DIRECTORY,
  O_NOFOLLOW: constants.O_NOFOLLOW,
  O_NOATIME: constants.O_NOATIME,
  O_NOCTTY: constants.O_NOCTTY,
  O_NONBLOCK: constants.O_NONBLOCK,
  O_DIRECT: constants.O_DIRECT,
  O_PATH,
  O_CLOEXEC,
  /** With the name of a directory, for a file without a name in it. */
  O_TMPFILE,
} as const;
