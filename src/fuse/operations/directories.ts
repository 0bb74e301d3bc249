/**
 * Open directories. The cookie of an entry is its position counted from 1, `.` and
 * `..` included, so that a listing can go on from any entry as long as the directory is open.
 */
import { constants } from 'node:os';
import { S_IFDIR, S_IFMT, type Directory, type DirectoryEntry, type Ino } from '../../vfs/file-system.js';
import { type Operation, Refusal, type Session } from '../operation.js';
import { entryBytes } from '../wire/attributes.js';
import { direntBytes, writeDirent, writeEmptyEntry } from '../wire/directory.js';
import { openBytes, openFlag, writeOpen } from '../wire/open.js';
import type { Request } from '../wire/request.js';
import { writeCountedEntry } from './entries.js';

const { EBADF, EINVAL } = constants.errno;
const dots = [Buffer.from('.'), Buffer.from('..')] as const;
const immutableFlags = openFlag.KEEP_CACHE | openFlag.CACHE_DIR;
/** How long a name is taken to be when guessing how many entries fill a reply. */
const nameBytesTypical = 16;
const nothingFits = new Refusal(EINVAL);

export const opendir: Operation = {
  payloadBytesMin: 8,
  run(session, request) {
    const handle = session.directories.reserve();
    session.answer(
      request,
      session.fileSystem.openDirectory(session.inoOf(request.node)),
      (directory) => {
        session.directories.set(handle, directory);
        writeOpen(session.reply.payloadView, handle, directory.caching === 'immutable' ? immutableFlags : 0);
        return openBytes;
      },
      (directory) => {
        session.directories.set(handle, directory);
        session.directories.close(handle);
      },
    );
  },
};

export const releasedir: Operation = {
  payloadBytesMin: 24,
  run(session, request) {
    session.directories.close(request.uint64(0));
    session.answer(request, 0, (length) => length);
  },
};

/** Fills the reply buffer with entries up to the size that the kernel asked for. */
class Listing {
  #used = 0;
  readonly #told: Ino[] = [];
  readonly #session: Session;
  readonly #plus: boolean;
  readonly #sizeMax: number;

  constructor(session: Session, plus: boolean, size: number) {
    this.#session = session;
    this.#plus = plus;
    this.#sizeMax = Math.min(size, session.reply.payload.length);
  }

  get used(): number {
    return this.#used;
  }

  /** The kernel did not take it. */
  takeBack(): void {
    for (const ino of this.#told) this.#session.writing?.lookups.remove(ino, 1);
  }

  /** About how many entries fit. */
  get capacity(): number {
    return Math.ceil((this.#sizeMax - this.#used) / ((this.#plus ? entryBytes : 0) + direntBytes(nameBytesTypical)));
  }

  /** False if the entry does not fit any more. */
  add(entry: DirectoryEntry, cookie: number): boolean {
    const { name } = entry;
    const { payload, payloadView } = this.#session.reply;
    const start = this.#used;
    const at = this.#plus ? start + entryBytes : start;
    const end = at + direntBytes(name.length);
    if (end > this.#sizeMax) return false;
    if (this.#plus && entry.entry === undefined) writeEmptyEntry(payload, start);
    else if (this.#plus && entry.entry !== undefined) {
      writeCountedEntry(this.#session, start, entry.entry);
      this.#told.push(entry.ino);
    }
    writeDirent(payload, payloadView, at, { ino: entry.ino, cookie, type: entry.type & S_IFMT, name });
    this.#used = end;
    return true;
  }
}

function list(session: Session, request: Request, directory: Directory, plus: boolean): void {
  const ino = session.inoOf(request.node);
  const cookie = request.offset(8);
  const size = request.uint32(16);
  const index = Math.max(cookie - dots.length, 0);
  const listing = new Listing(session, plus, size);
  if (cookie === 0) directory.rewind?.();
  session.answer(
    request,
    directory.read(index, listing.capacity),
    (entries) => {
      let full = false;
      for (let dot = cookie; dot < dots.length && !full; dot += 1) {
        full = !listing.add({ name: dots[dot as 0 | 1], ino, type: S_IFDIR }, dot + 1);
      }
      for (let i = 0; i < entries.length && !full; i += 1) {
        full = !listing.add(entries[i] as DirectoryEntry, index + i + dots.length + 1);
      }
      return full && listing.used === 0 ? nothingFits : listing.used;
    },
    () => listing.takeBack(),
  );
}

function listOperation(plus: boolean): Operation {
  return {
    payloadBytesMin: 40,
    run(session, request) {
      const directory = session.directories.get(request.uint64(0));
      if (directory === undefined) return session.refuse(request, EBADF);
      list(session, request, directory, plus);
    },
  };
}

export const readdir = listOperation(false);
export const readdirplus = listOperation(true);
