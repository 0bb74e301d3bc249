/**
 * Which operation answers which request. Protocol: linux/fuse.h: what is not here is answered ENOSYS. ACCESS is never asked where
 * the kernel checks permissions, as it does in all that can be written.
 */
import { constants } from 'node:os';
import type { Operation } from '../operation.js';
import { opcode } from '../wire/opcode.js';
import { ioctlWritable, setattr } from './attribute-changes.js';
import { create, openWritable, tmpfile } from './creation.js';
import { opendir, readdir, readdirplus, releasedir } from './directories.js';
import { ioctl, lseek, open, read, release } from './files.js';
import { forget, forgetBatch } from './forgetting.js';
import { copyFileRange, copyFileRange64, fallocate, flush, fsync, write } from './file-changes.js';
import { link, mkdir, mknod, rename, rename2, rmdir, symlink, unlink } from './names.js';
import { getattr, lookup, readlink, statfs } from './nodes.js';
import { getxattr, listxattr, removexattr, setxattr } from './xattrs.js';

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

/** Of a tree that is only read. */
export const operations: ReadonlyMap<number, Operation> = new Map<number, Operation>([
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

export const writingOperations: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  ...operations,
  [opcode.FORGET, forget],
  [opcode.BATCH_FORGET, forgetBatch],
  [opcode.SETATTR, setattr],
  [opcode.SYMLINK, symlink],
  [opcode.MKNOD, mknod],
  [opcode.MKDIR, mkdir],
  [opcode.UNLINK, unlink],
  [opcode.RMDIR, rmdir],
  [opcode.RENAME, rename],
  [opcode.RENAME2, rename2],
  [opcode.LINK, link],
  [opcode.OPEN, openWritable],
  [opcode.CREATE, create],
  [opcode.TMPFILE, tmpfile],
  [opcode.WRITE, write],
  [opcode.FLUSH, flush],
  [opcode.FSYNC, fsync],
  [opcode.FSYNCDIR, fsync],
  [opcode.FALLOCATE, fallocate],
  [opcode.COPY_FILE_RANGE, copyFileRange],
  [opcode.COPY_FILE_RANGE_64, copyFileRange64],
  [opcode.SETXATTR, setxattr],
  [opcode.REMOVEXATTR, removexattr],
  [opcode.IOCTL, ioctlWritable],
]);
