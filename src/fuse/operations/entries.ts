/** Answers that tell the kernel of an inode, and the names in requests. */
import { constants } from 'node:os';
import type { Entry, MaybePromise } from '../../vfs/file-system.js';
import { type Operation, Refusal, type Session, type Writing } from '../operation.js';
import { entryBytes, writeEntry } from '../wire/attributes.js';
import type { Request } from '../wire/request.js';

const { EINVAL, ENAMETOOLONG, ENOENT, EROFS } = constants.errno;
const nameBytesMax = 255;
const notFound = new Refusal(ENOENT);

/** Of a writable file system each entry that is written is counted until the kernel gives it back. */
export function writeCountedEntry(session: Session, at: number, entry: Entry): void {
  const { ino } = entry.attributes;
  writeEntry(session.reply.payloadView, at, session.nodeOf(ino), entry);
  session.writing?.lookups.add(ino);
}

export function answerEntry(session: Session, request: Request, value: MaybePromise<Entry | undefined>): void {
  let counted = 0;
  session.answer(
    request,
    value,
    (entry) => {
      if (entry === undefined) return notFound;
      writeCountedEntry(session, 0, entry);
      counted = 1;
      return entryBytes;
    },
    (entry) => {
      if (entry !== undefined) session.writing?.lookups.remove(entry.attributes.ino, counted);
    },
  );
}

export function answerNothing(session: Session, request: Request, value: MaybePromise<void>): void {
  session.answer(request, value, () => 0);
}

/** The name that starts at `at`; undefined if it was refused. */
export function nameIn(session: Session, request: Request, at: number): Buffer | undefined {
  const name = request.name(at);
  if (name === undefined) session.refuse(request, EINVAL);
  else if (name.length > nameBytesMax) session.refuse(request, ENAMETOOLONG);
  else return name;
  return undefined;
}

/** An operation of a writable file system. */
export function writingOperation(
  payloadBytesMin: number,
  run: (session: Session, request: Request, writing: Writing) => void,
): Operation {
  return {
    payloadBytesMin,
    run(session, request) {
      if (session.writing === undefined) session.refuse(request, EROFS);
      else run(session, request, session.writing);
    },
  };
}
