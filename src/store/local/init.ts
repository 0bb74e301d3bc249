/**
 * A new datastore, such as a server adopts. It is one as soon as it has `.chunks`, which therefore appears at once and last: what an
 * interrupted call left is completed by the next. Format: datastore, sections 1.1, 1.3 and 7.3.
 */
import { closeSync, constants, fchmodSync, fchownSync, openSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, readFile, readdir, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { FileError, StoreError, UsageError, codeOf, messageOf } from '../../errors.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import { renameNew } from './atomic-file.js';
import { touchedNow, writeZeroChunk } from './access-times.js';
import { chunkDirectoryMode, makeChunkDirectories } from './chunk-directories.js';
import { lockDirectory } from './locks.js';
import { directoryMode, fileMode, makeDirectory, type StoreOwner } from './ownership.js';
import { syncStore } from './store-sync.js';

export interface InitOptions {
  readonly warn: (line: string) => void;
  /** Undefined: as root the user `backup`, if there is one; else whoever calls. */
  readonly owner?: StoreOwner;
}

export interface NewDatastore {
  readonly location: string;
  readonly owner: StoreOwner;
}

const chunksName = '.chunks';
const unfinishedName = '.pbsfs-init';
const lockName = '.lock';
const serverUser = 'backup';
/** What may be in a directory that becomes a datastore: a new file system has the last one. */
const harmlessNames: ReadonlySet<string> = new Set([unfinishedName, lockName, 'lost+found']);
/** The coarsest time stamps that file systems of chunk stores have. */
const accessTimeWaitMs = 1000;

/**
 * Makes `path` and what is missing above it. EXISTS for a datastore, one inside of another, and a directory with something else in it;
 * USAGE for a hidden name; NOT_A_DIRECTORY; NO_PERMISSION; LOCKED; NOT_SUPPORTED on a file system that keeps no access times.
 */
export async function initDatastore(path: string, options: InitOptions): Promise<NewDatastore> {
  try {
    return await init(resolve(path), options);
  } catch (cause) {
    if (codeOf(cause) !== 'EACCES' && codeOf(cause) !== 'EPERM') throw cause;
    throw new StoreError('NO_PERMISSION', `${path} cannot be made a datastore by you: ${messageOf(cause)}`, { cause });
  }
}

async function init(path: string, options: InitOptions): Promise<NewDatastore> {
  if (basename(path).startsWith('.')) {
    throw new UsageError(`${path}: garbage collection of a server would delete all chunks of a datastore whose name begins with a dot`);
  }
  const owner = options.owner ?? (await defaultOwner());
  const isNew = await makeWithParents(path);
  const location = await realpath(path);
  const lock = lockDirectory(location, 'exclusive');
  if (lock === undefined) throw new StoreError('LOCKED', `${location} is being made a datastore by another program`);
  try {
    await checkPlace(location);
    await fill(location, owner, options.warn);
    return { location, owner };
  } catch (error) {
    if (isNew) await rmdir(location).catch(() => undefined);
    throw error;
  } finally {
    lock.release();
  }
}

/** Whether it was not there. */
async function makeWithParents(path: string): Promise<boolean> {
  try {
    return (await mkdir(path, { recursive: true, mode: directoryMode })) !== undefined;
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST' && codeOf(cause) !== 'ENOTDIR') throw cause;
    throw new FileError('NOT_A_DIRECTORY', `${path} is not a directory, or lies in something that is none`, { cause });
  }
}

async function checkPlace(location: string): Promise<void> {
  const names = await readdir(location);
  if (names.includes(chunksName)) throw new StoreError('EXISTS', `${location} is a datastore already (it has ${chunksName}): nothing was changed`);
  const foreign = names.find((name) => !harmlessNames.has(name));
  if (foreign !== undefined) throw new StoreError('EXISTS', `${location} is not empty (it has '${foreign}'): give a new or an empty directory`);
  for (let above = dirname(location); ; above = dirname(above)) {
    const facts = await lstat(join(above, chunksName)).catch(() => undefined);
    if (facts?.isDirectory() === true) throw new StoreError('EXISTS', `${location} lies in the datastore ${above}: a server refuses one in another`);
    if (above === dirname(above)) return;
  }
}

async function fill(location: string, owner: StoreOwner, warn: (line: string) => void): Promise<void> {
  await takeOver(location, owner);
  const hadLock = (await readdir(location)).includes(lockName);
  makeLock(join(location, lockName), owner);
  const chunks = join(location, unfinishedName);
  try {
    await makeDirectory(chunks, owner, chunkDirectoryMode);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    await chmod(chunks, chunkDirectoryMode);
    await chown(chunks, owner.uid, owner.gid);
    warn(`${location}: completing what an interrupted init left`);
  }
  try {
    await checkAccessTimes(chunks, owner);
  } catch (error) {
    await rm(chunks, { recursive: true, force: true });
    if (!hadLock) await rm(join(location, lockName), { force: true });
    throw error;
  }
  await makeChunkDirectories(chunks, owner);
  syncStore(location);
  renameNew(chunks, join(location, chunksName));
  syncStore(location);
}

/** Before all else, as a file system without them cannot have a datastore at all. */
async function checkAccessTimes(chunks: string, owner: StoreOwner): Promise<void> {
  const zeroChunk = await writeZeroChunk(chunks, await loadZstd(), owner);
  await setTimeout(accessTimeWaitMs);
  if ((await touchedNow(zeroChunk)) !== undefined) return;
  const text = `the file system of ${chunks} does not keep access times, by which garbage collection tells which chunks are used`;
  throw new FileError('NOT_SUPPORTED', `${text}: use another one`);
}

/** Mode and owner are what a server asks for when it adopts a datastore. */
async function takeOver(location: string, owner: StoreOwner): Promise<void> {
  const { mode, uid, gid } = await stat(location);
  if ((mode & 0o7777) !== directoryMode) await chmod(location, directoryMode);
  if (uid !== owner.uid || gid !== owner.gid) await chown(location, owner.uid, owner.gid);
}

function makeLock(path: string, owner: StoreOwner): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, fileMode);
  try {
    fchmodSync(fd, fileMode);
    fchownSync(fd, owner.uid, owner.gid);
  } finally {
    closeSync(fd);
  }
}

async function defaultOwner(): Promise<StoreOwner> {
  const [uid = 0, gid = 0] = [process.geteuid?.(), process.getegid?.()];
  return uid === 0 ? ((await userIn('/etc/passwd', serverUser)) ?? { uid, gid }) : { uid, gid };
}

async function userIn(path: string, name: string): Promise<StoreOwner | undefined> {
  const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n');
  const fields = lines.map((line) => line.split(':')).find(([user]) => user === name);
  const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])];
  return Number.isInteger(uid) && Number.isInteger(gid) ? { uid, gid } : undefined;
}
