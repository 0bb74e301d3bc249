/** Names that come, go and move. */
import { constants } from 'node:os';
import { S_IFMT } from '../../vfs/file-system.js';
import type { NewNode, RenameMode } from '../../vfs/writable-file-system.js';
import type { Session, Writing } from '../operation.js';
import { decodeDevice } from '../wire/attributes.js';
import type { Request } from '../wire/request.js';
import { answerEntry, answerNothing, nameIn, writingOperation } from './entries.js';

const { EINVAL, ENAMETOOLONG } = constants.errno;
const linkBytesMax = 4095;
const permissionMask = 0o7777;
const renameModes: readonly (RenameMode | undefined)[] = ['replace', 'keep', 'exchange'];

export function newNode(request: Request, mode: number, umask: number): NewNode {
  return { mode: mode & permissionMask, umask: umask & 0o777, caller: callerOf(request) };
}

function callerOf({ uid, gid, thread }: Request): NewNode['caller'] {
  return { uid, gid, pid: thread };
}

export const mknod = writingOperation(18, (session, request, { operations }) => {
  const name = nameIn(session, request, 16);
  if (name === undefined) return;
  const mode = request.uint32(0);
  const { major, minor } = decodeDevice(request.uint32(4));
  const file = { ...newNode(request, mode, request.uint32(8)), type: mode & S_IFMT, rdevMajor: major, rdevMinor: minor };
  answerEntry(session, request, operations.makeSpecialFile(session.inoOf(request.node), name, file));
});

export const mkdir = writingOperation(10, (session, request, { operations }) => {
  const name = nameIn(session, request, 8);
  if (name === undefined) return;
  const directory = newNode(request, request.uint32(0), request.uint32(4));
  answerEntry(session, request, operations.makeDirectory(session.inoOf(request.node), name, directory));
});

export const symlink = writingOperation(4, (session, request, { operations }) => {
  const name = nameIn(session, request, 0);
  if (name === undefined) return;
  const target = request.name(name.length + 1);
  if (target === undefined) return session.refuse(request, EINVAL);
  if (target.length > linkBytesMax) return session.refuse(request, ENAMETOOLONG);
  answerEntry(session, request, operations.makeSymbolicLink(session.inoOf(request.node), name, target, callerOf(request)));
});

export const link = writingOperation(10, (session, request, { operations }) => {
  const name = nameIn(session, request, 8);
  if (name === undefined) return;
  answerEntry(session, request, operations.link(session.inoOf(request.uint64(0)), session.inoOf(request.node), name));
});

export const unlink = writingOperation(2, (session, request, { operations }) => {
  const name = nameIn(session, request, 0);
  if (name !== undefined) answerNothing(session, request, operations.unlink(session.inoOf(request.node), name));
});

export const rmdir = writingOperation(2, (session, request, { operations }) => {
  const name = nameIn(session, request, 0);
  if (name !== undefined) answerNothing(session, request, operations.removeDirectory(session.inoOf(request.node), name));
});

function move(session: Session, request: Request, { operations }: Writing, names: { at: number; mode: RenameMode }): void {
  const oldName = nameIn(session, request, names.at);
  if (oldName === undefined) return;
  const newName = nameIn(session, request, names.at + oldName.length + 1);
  if (newName === undefined) return;
  const from = { parent: session.inoOf(request.node), name: oldName };
  const to = { parent: session.inoOf(request.uint64(0)), name: newName };
  answerNothing(session, request, operations.rename(from, to, names.mode));
}

export const rename = writingOperation(12, (session, request, writing) =>
  move(session, request, writing, { at: 8, mode: 'replace' }),
);

export const rename2 = writingOperation(20, (session, request, writing) => {
  const mode = renameModes[request.uint32(8)];
  if (mode === undefined) return session.refuse(request, EINVAL);
  move(session, request, writing, { at: 16, mode });
});
