/** Open files: reading, holes, inode flags. */
import { constants } from 'node:os';
import { constants as fsConstants } from 'node:fs';
import type { Caching, OpenFile } from '../../vfs/file-system.js';
import { type Operation, Refusal } from '../operation.js';
import { setInt64 } from '../wire/integers.js';
import { ioctlReplyBytes, ioctlResult } from '../wire/ioctl.js';
import { openBytes, openFlag, writeOpen } from '../wire/open.js';

const { EBADF, EINVAL, EIO, ENOTTY, EROFS } = constants.errno;
const accessModeMask = fsConstants.O_RDONLY | fsConstants.O_WRONLY | fsConstants.O_RDWR;
const seekData = 3;
const seekHole = 4;
const readTooLong = new Refusal(EIO);
const noIoctl = new Refusal(ENOTTY);

export const flagsOfCaching: Record<Caching, number> = {
  immutable: openFlag.KEEP_CACHE,
  changing: 0,
  unsized: openFlag.DIRECT_IO,
  exclusive: openFlag.KEEP_CACHE,
};

export const open: Operation = {
  payloadBytesMin: 8,
  run(session, request) {
    if ((request.uint32(0) & accessModeMask) !== 0) return session.refuse(request, EROFS);
    const handle = session.files.reserve();
    session.answer(
      request,
      session.fileSystem.open(session.inoOf(request.node)),
      (file) => {
        session.files.set(handle, file);
        writeOpen(session.reply.payloadView, handle, flagsOfCaching[file.caching]);
        return openBytes;
      },
      (file) => {
        session.files.set(handle, file);
        session.files.close(handle);
      },
    );
  },
};

export const release: Operation = {
  payloadBytesMin: 24,
  run(session, request) {
    session.files.close(request.uint64(0));
    session.answer(request, 0, (length) => length);
  },
};

/** Whether the pieces are more than `size` bytes, which the kernel would refuse. */
function isLonger(pieces: readonly Uint8Array[], size: number): boolean {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length > size;
}

export const read: Operation = {
  payloadBytesMin: 40,
  run(session, request) {
    const file = session.files.get(request.uint64(0));
    if (file === undefined) return session.refuse(request, EBADF);
    const size = request.uint32(16);
    session.answer(request, file.read(request.offset(8), size), (pieces) => (isLonger(pieces, size) ? readTooLong : pieces));
  },
};

function seek(file: OpenFile, offset: number, whence: number): ReturnType<OpenFile['seek']> | undefined {
  if (whence === seekData) return file.seek(offset, 'data');
  if (whence === seekHole) return file.seek(offset, 'hole');
  return undefined;
}

export const lseek: Operation = {
  payloadBytesMin: 24,
  run(session, request) {
    const file = session.files.get(request.uint64(0));
    if (file === undefined) return session.refuse(request, EBADF);
    const found = seek(file, request.offset(8), request.uint32(16));
    if (found === undefined) return session.refuse(request, EINVAL);
    session.answer(request, found, (offset) => {
      setInt64(session.reply.payloadView, 0, offset);
      return 8;
    });
  },
};

export const ioctl: Operation = {
  payloadBytesMin: 32,
  run(session, request) {
    const result = ioctlResult(request.uint32(12));
    if (result === undefined) return session.refuse(request, ENOTTY);
    const size = request.uint32(28);
    session.answer(request, session.fileSystem.inodeFlags(session.inoOf(request.node)), (flags) => {
      const { bytes, payload } = { bytes: result(flags), payload: session.reply.payload };
      if (bytes.length > size) return noIoctl;
      payload.fill(0, 0, ioctlReplyBytes);
      payload.set(bytes, ioctlReplyBytes);
      return ioctlReplyBytes + bytes.length;
    });
  },
};
