/** What is done to a file that is open for writing. */
import { constants } from 'node:os';
import { type Allocation, type WritableFile, type WriteOptions, isWritableFile } from '../../vfs/writable-file-system.js';
import type { Operation, Session } from '../operation.js';
import { setInt64 } from '../wire/integers.js';
import type { Request } from '../wire/request.js';
import { answerNothing, writingOperation } from './entries.js';

const { EBADF, EFBIG, EINVAL, EOPNOTSUPP } = constants.errno;
const writeKillsPrivileges = 4;
const dataOnlyFlag = 1;
const copyBytesMax = 0x7fff_f000;

/** The kernel does not say it of these requests, but leaves it to the file system: as for a write, whoever is not root loses them. */
function writeOptions({ uid }: Request): WriteOptions {
  return { killPrivileges: uid !== 0 };
}

const allocateFlag = { keepSize: 1, punch: 2, zero: 16 } as const;

/** The file of the handle, or undefined if the request was refused. */
function writableFile(session: Session, request: Request, handle: number): WritableFile | undefined {
  const file = session.files.get(handle);
  if (file !== undefined && isWritableFile(file)) return file;
  session.refuse(request, EBADF);
  return undefined;
}

/** False if the range was refused: no file is that large. */
function isPossibleRange(session: Session, request: Request, offset: number, length: number): boolean {
  if (offset + length <= Number.MAX_SAFE_INTEGER) return true;
  session.refuse(request, EFBIG);
  return false;
}

export const write = writingOperation(40, (session, request) => {
  const file = writableFile(session, request, request.uint64(0));
  if (file === undefined) return;
  const offset = request.uint64(8);
  const data = request.bytes(40, request.uint32(16));
  if (data === undefined) return session.refuse(request, EINVAL);
  if (!isPossibleRange(session, request, offset, data.length)) return;
  const killPrivileges = (request.uint32(20) & writeKillsPrivileges) !== 0;
  session.answer(request, file.write(offset, data, { killPrivileges }), (written) => {
    session.reply.payloadView.setUint32(0, written, true);
    session.reply.payloadView.setUint32(4, 0, true);
    return 8;
  });
});

export const flush = writingOperation(24, (session, request) => {
  const file = session.files.get(request.uint64(0));
  if (file === undefined) return session.refuse(request, EBADF);
  answerNothing(session, request, isWritableFile(file) ? file.flush() : undefined);
});

/** Of a file or of a directory. */
export const fsync = writingOperation(16, (session, request, { operations }) => {
  const dataOnly = (request.uint32(8) & dataOnlyFlag) !== 0;
  answerNothing(session, request, operations.sync(session.inoOf(request.node), { dataOnly }));
});

function allocationKind(mode: number): Allocation['kind'] | undefined {
  const { keepSize, punch, zero } = allocateFlag;
  if (mode === 0 || mode === keepSize) return 'reserve';
  if (mode === (punch | keepSize)) return 'punch';
  return mode === zero || mode === (zero | keepSize) ? 'zero' : undefined;
}

export const fallocate = writingOperation(32, (session, request) => {
  const file = writableFile(session, request, request.uint64(0));
  if (file === undefined) return;
  const [offset, length, mode] = [request.uint64(8), request.uint64(16), request.uint32(24)];
  const kind = allocationKind(mode);
  if (kind === undefined) return session.refuse(request, EOPNOTSUPP);
  if (!isPossibleRange(session, request, offset, length)) return;
  const keepSize = (mode & allocateFlag.keepSize) !== 0;
  answerNothing(session, request, file.allocate({ kind, offset, length, keepSize }, writeOptions(request)));
});

function copyOperation(encode: (session: Session, copied: number) => void): Operation {
  return writingOperation(56, (session, request, { operations }) => {
    const source = session.files.get(request.uint64(0));
    const target = writableFile(session, request, request.uint64(24));
    if (target === undefined) return;
    if (source === undefined) return session.refuse(request, EBADF);
    const [sourceOffset, targetOffset] = [request.offset(8), request.uint64(32)];
    const length = Math.min(request.uint64(40), copyBytesMax);
    if (!isPossibleRange(session, request, targetOffset, length)) return;
    const range = { source, sourceOffset, target, targetOffset, length };
    session.answer(request, operations.copyRange(range, writeOptions(request)), (copied) => {
      encode(session, copied);
      return 8;
    });
  });
}

export const copyFileRange = copyOperation(({ reply }, copied) => {
  reply.payloadView.setUint32(0, copied, true);
  reply.payloadView.setUint32(4, 0, true);
});

export const copyFileRange64 = copyOperation(({ reply }, copied) => setInt64(reply.payloadView, 0, copied));
