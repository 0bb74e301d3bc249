/** Files that are opened to be written, new ones and others. */
import { constants } from 'node:fs';
import type { MaybePromise, OpenFile } from '../../vfs/file-system.js';
import type { Created } from '../../vfs/writable-file-system.js';
import { isWritableFile } from '../../vfs/writable-file-system.js';
import type { Session, Writing } from '../operation.js';
import { entryBytes } from '../wire/attributes.js';
import { openBytes, openFlag, writeOpen } from '../wire/open.js';
import type { Request } from '../wire/request.js';
import { nameIn, writeCountedEntry, writingOperation } from './entries.js';
import { flagsOfCaching } from './files.js';
import { newNode } from './names.js';

const { O_EXCL, O_RDWR, O_TRUNC, O_WRONLY } = constants;
const openKillsPrivileges = 1;

/** A file that is only read has nothing to say when it is closed. */
function openFlagsOf(file: OpenFile): number {
  return flagsOfCaching[file.caching] | (isWritableFile(file) ? 0 : openFlag.NOFLUSH);
}

export const openWritable = writingOperation(8, (session, request, { operations }) => {
  const ino = session.inoOf(request.node);
  const flags = request.uint32(0);
  const truncate = (flags & O_TRUNC) !== 0;
  const killPrivileges = (request.uint32(4) & openKillsPrivileges) !== 0;
  const reading = (flags & (O_WRONLY | O_RDWR | O_TRUNC)) === 0;
  const handle = session.files.reserve();
  const opened: MaybePromise<OpenFile> = reading
    ? session.fileSystem.open(ino)
    : operations.open(ino, { truncate, killPrivileges });
  session.answer(
    request,
    opened,
    (file) => {
      session.files.set(handle, file);
      writeOpen(session.reply.payloadView, handle, openFlagsOf(file));
      return openBytes;
    },
    (file) => {
      session.files.set(handle, file);
      session.files.close(handle);
    },
  );
});

function answerCreated(session: Session, request: Request, { lookups }: Writing, created: MaybePromise<Created>): void {
  const handle = session.files.reserve();
  let counted = 0;
  session.answer(
    request,
    created,
    ({ entry, file }) => {
      session.files.set(handle, file);
      writeCountedEntry(session, 0, entry);
      counted = 1;
      writeOpen(session.reply.payloadView, handle, openFlagsOf(file), entryBytes);
      return entryBytes + openBytes;
    },
    ({ entry, file }) => {
      session.files.set(handle, file);
      session.files.close(handle);
      lookups.remove(entry.attributes.ino, counted);
    },
  );
}

export const create = writingOperation(18, (session, request, writing) => {
  const name = nameIn(session, request, 16);
  if (name === undefined) return;
  const flags = request.uint32(0);
  const file = {
    ...newNode(request, request.uint32(4), request.uint32(8)),
    exclusive: (flags & O_EXCL) !== 0,
    truncate: (flags & O_TRUNC) !== 0,
    killPrivileges: (request.uint32(12) & openKillsPrivileges) !== 0,
  };
  answerCreated(session, request, writing, writing.operations.create(session.inoOf(request.node), name, file));
});

export const tmpfile = writingOperation(16, (session, request, writing) => {
  const file = newNode(request, request.uint32(4), request.uint32(8));
  answerCreated(session, request, writing, writing.operations.createUnnamed(session.inoOf(request.node), file));
});
