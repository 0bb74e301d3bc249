/** Which operation answers which request. Protocol: linux/fuse.h: what is not here is answered ENOSYS. */
import { constants } from 'node:os';
import type { Operation } from '../operation.js';
import { opcode } from '../wire/opcode.js';
import { opendir, readdir, readdirplus, releasedir } from './directories.js';
import { ioctl, lseek, open, read, release } from './files.js';
import { getattr, lookup, readlink, statfs } from './nodes.js';
import { getxattr, listxattr } from './xattrs.js';

const refuseWriting: Operation = {
  payloadBytesMin: 0,
  run: (session, request) => session.refuse(request, constants.errno.EROFS),
};

/** Sent for the node table of the kernel; node numbers are permanent here, and nothing is answered. */
const ignore: Operation = { payloadBytesMin: 0, run: () => undefined };

const succeed: Operation = {
  payloadBytesMin: 0,
  run: (session, request) => session.answer(request, 0, (length) => length),
};

export const operations: ReadonlyMap<number, Operation> = new Map([
  [opcode.LOOKUP, lookup],
  [opcode.FORGET, ignore],
  [opcode.BATCH_FORGET, ignore],
  [opcode.GETATTR, getattr],
  [opcode.READLINK, readlink],
  [opcode.STATFS, statfs],
  [opcode.OPEN, open],
  [opcode.READ, read],
  [opcode.LSEEK, lseek],
  [opcode.IOCTL, ioctl],
  [opcode.RELEASE, release],
  [opcode.OPENDIR, opendir],
  [opcode.READDIR, readdir],
  [opcode.READDIRPLUS, readdirplus],
  [opcode.RELEASEDIR, releasedir],
  [opcode.GETXATTR, getxattr],
  [opcode.LISTXATTR, listxattr],
  [opcode.DESTROY, succeed],
  [opcode.SETATTR, refuseWriting],
  [opcode.SYMLINK, refuseWriting],
  [opcode.MKNOD, refuseWriting],
  [opcode.MKDIR, refuseWriting],
  [opcode.UNLINK, refuseWriting],
  [opcode.RMDIR, refuseWriting],
  [opcode.RENAME, refuseWriting],
  [opcode.RENAME2, refuseWriting],
  [opcode.LINK, refuseWriting],
  [opcode.WRITE, refuseWriting],
  [opcode.SETXATTR, refuseWriting],
  [opcode.REMOVEXATTR, refuseWriting],
  [opcode.CREATE, refuseWriting],
  [opcode.TMPFILE, refuseWriting],
  [opcode.FALLOCATE, refuseWriting],
  [opcode.COPY_FILE_RANGE, refuseWriting],
  [opcode.COPY_FILE_RANGE_64, refuseWriting],
]);
