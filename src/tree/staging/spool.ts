/**
 * Where what is staged lies until it is committed: a directory of one datastore, used by one daemon at a time. In it each group with
 * something staged has a directory, with the files in `top` and the states of images in `images`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, constants, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { MountError, StoreError, codeOf, messageOf } from '../../errors.js';
import { groupPath, parseSnapshotPath, type GroupName } from '../../format/snapshot-name.js';
import { tryLock } from '../../os/file-locks.js';
import { syncFileSystemAside } from '../../os/file-sync.js';
import { removeTree } from './spool-removal.js';

const groupsName = 'groups';
const removedPrefix = '.removed-';
/** Of the part that tells people which datastore it is. */
const nameLengthMax = 128;
const hashLength = 16;
const recordBytesMax = 4096;

export class Spool {
  readonly directory: string;
  readonly #lock: number;
  readonly #log: (line: string) => void;
  readonly #removals = new Set<Promise<void>>();
  readonly #closing = new AbortController();

  private constructor(directory: string, lock: number, log: (line: string) => void) {
    this.directory = directory;
    this.#lock = lock;
    this.#log = log;
  }

  /** That of the datastore at `location`, below `base`, which is made. BUSY if another daemon uses it. */
  static open(base: string, location: string, log: (line: string) => void): Spool {
    const hash = createHash('sha256').update(location).digest('hex').slice(0, hashLength);
    const directory = join(base, `${basename(location).slice(0, nameLengthMax)}-${hash}`);
    mkdirSync(join(directory, groupsName), { recursive: true, mode: 0o700 });
    const lock = openSync(join(directory, 'lock'), constants.O_RDWR | constants.O_CREAT, 0o600);
    if (!tryLock(lock, 'exclusive')) {
      closeSync(lock);
      throw new MountError('BUSY', `the spool ${directory} is in use by another mount; unmount that, or give another one with --spool`);
    }
    const spool = new Spool(directory, lock, log);
    for (const name of readdirSync(spool.#groups)) if (name.startsWith(removedPrefix)) spool.#remove(name);
    return spool;
  }

  /** Groups that have something staged. */
  groups(): GroupName[] {
    return readdirSync(this.#groups).flatMap((name) => {
      // Any time makes the path of a group one of a snapshot.
      const parsed = parseSnapshotPath(`${name.replaceAll(':', '/')}/1970-01-01T00:00:01Z`);
      return parsed === undefined ? [] : [{ namespace: parsed.namespace, type: parsed.type, id: parsed.id }];
    });
  }

  /** Made if it is not there. */
  groupSpool(group: GroupName): GroupSpool {
    const directory = join(this.#groups, spoolName(group));
    mkdirSync(join(directory, 'top'), { recursive: true, mode: 0o700 });
    return new GroupSpool(directory);
  }

  /** For what is to be staged all at once, beside the group's own; gone with the daemon until it is adopted. */
  fresh(): GroupSpool {
    const name = `${removedName()}-new`;
    mkdirSync(join(this.#groups, name, 'top'), { recursive: true, mode: 0o700 });
    return new GroupSpool(join(this.#groups, name));
  }

  /** It becomes what is staged in the group, where nothing is, at once. */
  async adopt(group: GroupName, { directory }: GroupSpool): Promise<void> {
    await this.sync();
    renameSync(directory, join(this.#groups, spoolName(group)));
    await this.sync();
  }

  discardFresh({ directory }: GroupSpool): void {
    this.#remove(basename(directory));
  }

  /** What was staged is gone at once, its space a little later. */
  discard(group: GroupName): void {
    const name = removedName();
    renameSync(join(this.#groups, spoolName(group)), join(this.#groups, name));
    this.#remove(name);
  }

  async sync(): Promise<void> {
    await syncFileSystemAside(this.#lock);
  }

  /** What is not removed yet the next daemon removes. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#removals);
    closeSync(this.#lock);
  }

  get #groups(): string {
    return join(this.directory, groupsName);
  }

  #remove(name: string): void {
    const removal = removeTree(join(this.#groups, name), this.#closing.signal)
      .catch((error: unknown) => {
        if (!this.#closing.signal.aborted) this.#log(`${join(this.#groups, name)} can't be removed, and takes space: ${messageOf(error)}`);
      })
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }
}

/** What a commit that was begun would make: found again after a crash, it tells whether that was made. */
export interface CommitRecord {
  /** Seconds since 1970. */
  readonly time: number;
  /** SHA-256 of what the manifest says of the files, in hex. */
  readonly manifest: string;
}

export class GroupSpool {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  get top(): string {
    return join(this.directory, 'top');
  }

  /** Of the archives that files are clones of. */
  get origins(): string {
    return join(this.directory, 'origins.json');
  }

  get images(): string {
    return join(this.directory, 'images');
  }

  /** Fingerprint of the key that chunks of images are encrypted with, or `none`; undefined if none were written. */
  get imageKey(): string | undefined {
    try {
      return readFileSync(this.#imageKeyPath, 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  set imageKey(fingerprint: string) {
    writeFileSync(`${this.#imageKeyPath}.tmp`, fingerprint, { mode: 0o600 });
    renameSync(`${this.#imageKeyPath}.tmp`, this.#imageKeyPath);
  }

  get #imageKeyPath(): string {
    return join(this.directory, 'image-key');
  }

  /** Undefined if none was begun, or if what is there is no record. */
  get record(): CommitRecord | undefined {
    try {
      const bytes = readFileSync(this.#recordPath);
      if (bytes.length > recordBytesMax) return undefined;
      const { time, manifest } = JSON.parse(bytes.toString()) as Partial<CommitRecord>;
      return typeof time === 'number' && typeof manifest === 'string' ? { time, manifest } : undefined;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  set record(record: CommitRecord | undefined) {
    if (record === undefined) {
      rmSync(this.#recordPath, { force: true });
      return;
    }
    writeFileSync(`${this.#recordPath}.tmp`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${this.#recordPath}.tmp`, this.#recordPath);
  }

  get #recordPath(): string {
    return join(this.directory, 'commit.json');
  }
}

function removedName(): string {
  return `${removedPrefix}${randomBytes(6).toString('hex')}`;
}

/** `ns:prod:host:web1`: colons are in no name. */
function spoolName(group: GroupName): string {
  return groupPath(group).replaceAll('/', ':');
}

export function noStaging(): StoreError {
  return new StoreError('NOT_FOUND', 'nothing is staged in this group');
}
