/** What the archiver is told of clones: where their bytes are, so that it does not read the holes that they are in the spool. */
import type { SourceFileEntry } from '../../backup/archive-options.js';
import type { ClonedContent } from '../../backup/cloned-content.js';
import { FormatError, StoreError, messageOf } from '../../errors.js';
import { itemHeaderBytes } from '../../format/pxar/item.js';
import { getXattrOf } from '../../os/named-xattrs.js';
import type { MaybePromise } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import { printableName } from '../../vfs/name.js';
import { cloneXattrName, decodeCloneFact, type CloneFact } from './clone-fact.js';
import type { CloneOrigins } from './clone-origins.js';
import { SpoolClone } from './spool-clone.js';

const itself = Buffer.alloc(0);

/** Undefined for a file that is no clone. Rejects, with the name of the file, if what it was cloned from is gone. */
export function clonedContent(origins: CloneOrigins, archive: string, file: SourceFileEntry): MaybePromise<ClonedContent | undefined> {
  const value = getXattrOf({ fd: file.fd, name: itself }, cloneXattrName);
  const fact = value && decodeCloneFact(value);
  if (fact === undefined) return undefined;
  const name = (): string => `${archive}${printableName(file.path())}`;
  const { size } = file.stat;
  const clone = new SpoolClone(fact, size, (of) => origins.contentOf(of));
  const read = (offset: number, length: number): MaybePromise<readonly Uint8Array[]> => named(name, () => clone.read(offset, length));
  return named(name, () => andThen(payloadOf(origins, fact, size), (payload) => ({ payload, read })));
}

/** Without a look at the payload, which is not to be read where it is reused. */
function payloadOf(origins: CloneOrigins, fact: CloneFact, size: number): MaybePromise<ClonedContent['payload']> {
  const csum = origins.payloadCsum(fact.origin);
  return andThen(origins.node(fact), ({ entry: { content } }) => {
    if (csum === undefined || content?.where !== 'payload' || content.size !== size) return undefined;
    return { csum, start: content.offset, end: content.offset + itemHeaderBytes + size };
  });
}

function named<T>(name: () => string, work: () => MaybePromise<T>): MaybePromise<T> {
  try {
    const value = work();
    return value instanceof Promise ? value.catch((error: unknown) => Promise.reject(withName(error, name()))) : value;
  } catch (error) {
    throw withName(error, name());
  }
}

function withName(cause: unknown, name: string): Error {
  const message = `${name}: ${messageOf(cause)}`;
  if (cause instanceof FormatError) return new FormatError(cause.code, message, { cause });
  return new StoreError(cause instanceof StoreError ? cause.code : 'CHUNK_MISSING', message, { cause });
}
