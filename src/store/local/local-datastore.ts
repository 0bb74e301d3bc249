/**
 * A datastore in a directory, as a server keeps it. Reading takes no locks and writes nothing, so that it may lie on read-only media or
 * be in use by a server at the same time. Format: datastore, sections 1 and 3.1.
 */
import { lstat, readdir, realpath, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChunkFiles } from '../../codec/chunk-source.js';
import { StoreError, codeOf } from '../../errors.js';
import { archiveKind, manifestFileName, protectedFileName } from '../../format/archive-name.js';
import { parseBackupTime } from '../../format/backup-time.js';
import { encodedBlobBytesMax } from '../../format/blob.js';
import { chunkPath } from '../../format/chunk-path.js';
import { indexBytesMax, type ChunkIndex } from '../../format/chunk-index.js';
import { parseDynamicIndex } from '../../format/dynamic-index.js';
import { parseFixedIndex } from '../../format/fixed-index.js';
import { isNamespaceChild, namespacePath, type Namespace } from '../../format/namespace.js';
import { parseNotes } from '../../format/notes.js';
import { parseOwner } from '../../format/owner.js';
import { backupTypes, compareGroups, groupPath, isBackupId, snapshotPath, type GroupName, type SnapshotName } from '../../format/snapshot-name.js';
import type { Administration } from '../administration.js';
import type { BackupOptions, BackupSession } from '../backup-session.js';
import type { ChunkWriter, ChunkWriterOptions } from '../chunk-writer.js';
import type { Datastore, GroupFacts, HeldSnapshot, SnapshotFacts, StoreSpace } from '../datastore.js';
import { readWhole, subdirectories, subdirectoriesIfAny, translated } from './directory.js';
import { DirectoryWatch } from './directory-watch.js';
import { serverPaths, type ServerPaths } from './server.js';

const textBytesMax = 1 << 20;
const statsAtOnce = 1024;

class LocalDatastore implements Datastore {
  readonly location: string;
  readonly chunks: ChunkFiles;
  readonly #watch: DirectoryWatch;
  readonly #server: ServerPaths;

  constructor(location: string, server: ServerPaths) {
    this.location = location;
    this.chunks = { kind: 'files', pathOf: (digest) => `${location}/${chunkPath(digest)}` };
    this.#server = server;
    this.#watch = new DirectoryWatch(location);
  }

  async namespaces(parent: Namespace): Promise<readonly string[]> {
    const directory = namespacePath(parent);
    await translated(this.#path(directory), () => stat(this.#path(directory)));
    const names = await subdirectoriesIfAny(await this.#list(join(directory, 'ns')));
    return names.filter((name) => isNamespaceChild(parent, name)).sort();
  }

  async groups(namespace: Namespace): Promise<readonly GroupName[]> {
    const directory = namespacePath(namespace);
    await translated(this.#path(directory), () => stat(this.#path(directory)));
    const lists = backupTypes.map(async (type) => {
      const ids = await subdirectoriesIfAny(await this.#list(join(directory, type)));
      return ids.filter(isBackupId).map((id): GroupName => ({ namespace, type, id }));
    });
    return (await Promise.all(lists)).flat().sort(compareGroups);
  }

  async groupFacts(group: GroupName): Promise<GroupFacts> {
    const [owner, notes] = await Promise.all(['owner', 'notes'].map((name) => this.#textIfAny(join(groupPath(group), name))));
    return { owner: parsedOrNothing(owner, parseOwner), notes: parsedOrNothing(notes, parseNotes) };
  }

  async snapshots(group: GroupName): Promise<readonly SnapshotName[]> {
    const names = await subdirectories(await this.#list(groupPath(group)));
    const times = names.map(parseBackupTime).filter((time) => time !== undefined);
    return times.sort((a, b) => a - b).map((time) => ({ ...group, time }));
  }

  async snapshotFacts(snapshot: SnapshotName): Promise<SnapshotFacts> {
    const path = await this.#list(snapshotPath(snapshot));
    const names = (await translated(path, () => readdir(path))).sort();
    const found = await Promise.all(names.map((name) => statOfFile(path, name)));
    const files = found.filter((file) => file !== undefined);
    return {
      files: files.filter(({ name }) => archiveKind(name) !== undefined),
      finished: files.some(({ name }) => name === manifestFileName),
      protected: files.some(({ name }) => name === protectedFileName),
      version: files.map(({ version }) => version).join(),
    };
  }

  blob(snapshot: SnapshotName, fileName: string): Promise<Buffer> {
    return readWhole(this.#path(join(snapshotPath(snapshot), fileName)), encodedBlobBytesMax);
  }

  async index(snapshot: SnapshotName, fileName: string): Promise<ChunkIndex> {
    const bytes = await readWhole(this.#path(join(snapshotPath(snapshot), fileName)), indexBytesMax);
    return archiveKind(fileName) === 'fixed' ? parseFixedIndex(bytes) : parseDynamicIndex(bytes);
  }

  async encodedBytes(index: ChunkIndex): Promise<number> {
    const paths = new Set<string>();
    for (let n = 0; n < index.count; n++) paths.add(this.chunks.pathOf(index.digestAt(n)));
    let bytes = 0;
    for (let rest = [...paths]; rest.length > 0; rest = rest.slice(statsAtOnce)) {
      const sizes = await Promise.all(rest.slice(0, statsAtOnce).map(fileBytes));
      bytes += sizes.reduce((sum, size) => sum + size, 0);
    }
    return bytes;
  }

  async space(): Promise<StoreSpace> {
    const { blocks, bavail, bsize } = await statfs(this.location);
    return { bytes: blocks * bsize, bytesFree: bavail * bsize };
  }

  watch(listener: (directory: string) => void): () => void {
    return this.#watch.listen(listener);
  }

  async beginBackup(options: BackupOptions): Promise<BackupSession> {
    // Who only reads does not wait for what writes.
    const { beginLocalBackup } = await import('./begin-backup.js');
    return await beginLocalBackup(this.location, this.#server, options);
  }

  async createGroup(group: GroupName, warn: (line: string) => void): Promise<void> {
    await (await import('./new-places.js')).createLocalGroup(this.location, this.#server, group, warn);
  }

  async removeEmptyGroup(group: GroupName, warn: (line: string) => void): Promise<void> {
    await (await import('./new-places.js')).removeLocalGroup(this.location, this.#server, group, warn);
  }

  async createNamespace(namespace: Namespace, warn: (line: string) => void): Promise<void> {
    await (await import('./new-places.js')).createLocalNamespace(this.location, this.#server, namespace, warn);
  }

  async openChunkWriter(options: ChunkWriterOptions): Promise<ChunkWriter> {
    const { openLocalChunkWriter } = await import('./open-chunk-writer.js');
    return await openLocalChunkWriter(this.location, this.#server, options);
  }

  async holdSnapshot(snapshot: SnapshotName, warn: (line: string) => void): Promise<HeldSnapshot> {
    return await (await import('./hold-snapshot.js')).holdLocalSnapshot(this.location, this.#server, snapshot, warn);
  }

  async administration(warn: (line: string) => void): Promise<Administration> {
    const { LocalAdministration } = await import('./administration.js');
    return new LocalAdministration(this, this.#server, warn);
  }

  close(): Promise<void> {
    this.#watch.close();
    return Promise.resolve();
  }

  #path(relative: string): string {
    return join(this.location, relative);
  }

  /** The path of a directory that is about to be listed, and watched from then on. */
  async #list(relative: string): Promise<string> {
    await this.#watch.add(relative);
    return this.#path(relative);
  }

  async #textIfAny(relative: string): Promise<Buffer | undefined> {
    try {
      return await readWhole(this.#path(relative), textBytesMax);
    } catch {
      // Owner and notes are facts beside the data: a group without them is still a group.
      return undefined;
    }
  }
}

/** Opens the datastore in `directory`. `server`: where one on this host has its files. NOT_FOUND, NO_PERMISSION, or NOT_A_DATASTORE. */
export async function openLocalDatastore(directory: string, { server = serverPaths }: { readonly server?: ServerPaths } = {}): Promise<Datastore> {
  const location = await translated(directory, () => realpath(directory));
  const chunks = join(location, '.chunks');
  try {
    if ((await translated(chunks, () => stat(chunks))).isDirectory()) return new LocalDatastore(location, server);
  } catch (error) {
    if (codeOf(error) !== 'NOT_FOUND') throw error;
  }
  throw new StoreError('NOT_A_DATASTORE', `${directory} is not a datastore: it has no directory .chunks; give the directory that contains .chunks, or make a new datastore with pbsfs init DIR`);
}

/** Name, size and what tells this file from a later one of the same name; undefined for what is gone or is no regular file. */
async function statOfFile(directory: string, name: string): Promise<{ name: string; size: number; version: string } | undefined> {
  try {
    const path = join(directory, name);
    const facts = await translated(path, () => lstat(path, { bigint: true }));
    if (!facts.isFile()) return undefined;
    return { name, size: Number(facts.size), version: `${name}:${facts.ino}:${facts.size}:${facts.mtimeNs}` };
  } catch (error) {
    if (codeOf(error) === 'NOT_FOUND') return undefined;
    throw error;
  }
}

async function fileBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

function parsedOrNothing<T>(bytes: Buffer | undefined, parse: (bytes: Buffer) => T): T | undefined {
  try {
    return bytes === undefined ? undefined : parse(bytes);
  } catch {
    return undefined;
  }
}
