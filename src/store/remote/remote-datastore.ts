/**
 * A datastore on a server: listings by its JSON API, files and chunks by reader sessions, new snapshots by backup sessions. Format:
 * protocol, sections 8, 9, 11 and 15.
 */
import { FileError, FormatError, StoreError } from '../../errors.js';
import type { FetchedChunks } from '../../codec/chunk-source.js';
import { encodedBlobBytesMax } from '../../format/blob.js';
import type { ChunkIndex } from '../../format/chunk-index.js';
import type { JsonObject } from '../../format/json.js';
import { isNamespaceChild, formatNamespace, type Namespace } from '../../format/namespace.js';
import { formatRepository, type Repository } from '../../format/repository.js';
import { compareGroups, groupPath, isBackupId, snapshotPath, type GroupName, type SnapshotName } from '../../format/snapshot-name.js';
import type { Administration } from '../administration.js';
import type { BackupOptions, BackupSession } from '../backup-session.js';
import type { ChunkWriter, ChunkWriterOptions } from '../chunk-writer.js';
import type { Datastore, GroupFacts, HeldSnapshot, SnapshotFacts, StoreSpace } from '../datastore.js';
import type { OpenOptions } from '../open-options.js';
import { readSpace } from './listing-answers.js';
import { ChunksAhead } from './chunks-ahead.js';
import { ListingPoll } from './listing-poll.js';
import { Listings } from './listings.js';
import { snapshotParameters, storePath } from './parameters.js';
import { Patience } from './patience.js';
import { RemoteChunks } from './remote-chunks.js';
import type { ServerApi } from './server-api.js';
import { ServerRefusal } from './server-refusal.js';
import { SnapshotReaders } from './snapshot-readers.js';
import type { SnapshotReader } from './snapshot-reader.js';

/** What servers take; longer ones are read. */
const componentLengthMax = 32;

export interface RemoteOptions {
  readonly api: ServerApi;
  /** The repository, without secrets. */
  readonly location: string;
  readonly timeoutMs: number;
  /** As in OpenOptions. */
  readonly isBounded?: boolean | undefined;
  readonly warn?: (line: string) => void;
}

export class RemoteDatastore implements Datastore {
  readonly location: string;
  readonly api: ServerApi;
  readonly listings: Listings;
  readonly readers: SnapshotReaders;
  readonly #patience: Patience;
  readonly #chunks: RemoteChunks;
  readonly #ahead: ChunksAhead;
  readonly #poll: ListingPoll;
  #isDownloadKnown = true;
  /** Made here and not on the server, where a group begins with its first snapshot. */
  readonly #planned = new Map<string, GroupName>();

  constructor({ api, location, timeoutMs, isBounded = false, warn }: RemoteOptions) {
    this.location = location;
    this.api = api;
    this.#patience = new Patience({ timeoutMs, isBounded, warn });
    this.#poll = new ListingPoll((listedMs) => this.listings.renew(listedMs));
    this.listings = new Listings(api, (directories) => {
      this.#poll.tell(directories);
    });
    this.readers = new SnapshotReaders(api, this.#patience);
    this.#chunks = new RemoteChunks({
      api,
      readers: this.readers,
      timeoutMs,
      readIndexes: (snapshot) => this.#indexesOf(snapshot),
      explain: (error, snapshot) => this.#explained(error, snapshot),
    });
    this.#ahead = new ChunksAhead(this.#chunks);
  }

  get chunks(): FetchedChunks {
    return this.#ahead;
  }

  namespaces(parent: Namespace): Promise<readonly string[]> {
    return this.listings.namespaces(parent);
  }

  async groups(namespace: Namespace): Promise<readonly GroupName[]> {
    const listed = await this.listings.groups(namespace);
    for (const group of listed) this.#planned.delete(groupPath(group));
    const name = formatNamespace(namespace);
    const planned = [...this.#planned.values()].filter((group) => formatNamespace(group.namespace) === name);
    return planned.length === 0 ? listed : [...listed, ...planned].sort(compareGroups);
  }

  groupFacts(group: GroupName): Promise<GroupFacts> {
    return this.#orPlanned(group, this.listings.groupFacts(group), { owner: undefined, notes: undefined });
  }

  snapshots(group: GroupName): Promise<readonly SnapshotName[]> {
    return this.#orPlanned(group, this.listings.snapshots(group), []);
  }

  async snapshotFacts(snapshot: SnapshotName): Promise<SnapshotFacts> {
    return (await this.listings.snapshot(snapshot)).facts;
  }

  /** A session would be a task on the server for each manifest that is listed; it is used where there is one, and by servers that know nothing else. */
  async blob(snapshot: SnapshotName, fileName: string): Promise<Buffer> {
    const bytes = this.readers.isOpen(snapshot) ? undefined : await this.#download(snapshot, fileName);
    return bytes ?? (await this.#blobOfSession(snapshot, fileName));
  }

  async index(snapshot: SnapshotName, fileName: string): Promise<ChunkIndex> {
    const { index, place } = await this.#read(snapshot, fileName, (reader, signal) => reader.index(fileName, signal));
    this.#chunks.add(index, place);
    return index;
  }

  async space(): Promise<StoreSpace> {
    return readSpace(await this.api.call('GET', storePath(this.api, 'status')));
  }

  watch(listener: (directory: string) => void): () => void {
    return this.#poll.listen(listener);
  }

  async beginBackup(options: BackupOptions): Promise<BackupSession> {
    const { beginRemoteBackup } = await import('./begin-backup.js');
    const { api, listings, chunks } = this;
    return await beginRemoteBackup({ api, listings, chunks, lockedBlob: (snapshot, fileName) => this.#blobOfSession(snapshot, fileName) }, options);
  }

  async openChunkWriter(options: ChunkWriterOptions): Promise<ChunkWriter> {
    const { openPendingWriter } = await import('./pending-chunks.js');
    const holder = {
      snapshotWith: (digest: Buffer) => this.#chunks.snapshotWith(digest),
      hold: (snapshot: SnapshotName) => this.holdSnapshot(snapshot, options.warn),
    };
    const { pending, writer } = await openPendingWriter(options, holder, () => {
      this.#ahead.pending = undefined;
    });
    this.#ahead.pending = pending;
    return writer;
  }

  async createGroup(group: GroupName): Promise<void> {
    if (!isBackupId(group.id)) throw new FormatError('BAD_NAME', `'${group.id}' can't name a group`);
    this.listings.drop(group.namespace);
    const path = groupPath(group);
    if ((await this.groups(group.namespace)).some((each) => groupPath(each) === path)) throw new StoreError('EXISTS', `there is a group ${path}`);
    this.#planned.set(path, group);
  }

  async removeEmptyGroup(group: GroupName): Promise<void> {
    if (this.#planned.delete(groupPath(group))) return;
    this.listings.drop(group.namespace);
    if ((await this.listings.snapshots(group)).length > 0) return;
    // A server removes groups with all that is in them by then.
    throw new FileError('NOT_SUPPORTED', `${groupPath(group)} is empty on the server, which removes groups only with everything in them: use pbsfs forget`);
  }

  async createNamespace(namespace: Namespace): Promise<void> {
    const parent = namespace.slice(0, -1);
    const name = namespace.at(-1) ?? '';
    if (!isNamespaceChild(parent, name) || name.length > componentLengthMax) {
      throw new FormatError('BAD_NAME', `'${name}' can't name a namespace: up to ${componentLengthMax} letters, digits, '_', '-' and '.'`);
    }
    this.listings.drop(parent);
    // A server is content with one that is there.
    if ((await this.listings.namespaces(parent)).includes(name)) throw new StoreError('EXISTS', `there is a namespace '${name}'`);
    try {
      await this.api.call('POST', storePath(this.api, 'namespace'), { name, parent: formatNamespace(parent) });
    } finally {
      this.listings.drop(namespace);
    }
  }

  async holdSnapshot(snapshot: SnapshotName, warn: (line: string) => void): Promise<HeldSnapshot> {
    try {
      return await this.readers.hold(snapshot, warn);
    } catch (error) {
      throw await this.#explained(error, snapshot);
    }
  }

  async administration(_warn: (line: string) => void): Promise<Administration> {
    const { RemoteAdministration } = await import('./remote-administration.js');
    return new RemoteAdministration(this.api, this.listings, this.readers);
  }

  state(): JsonObject {
    const { connected, lastError = null, since, reconnections, sessions, roundTripMs = null } = this.api.state();
    const { open, held } = this.readers.counts;
    return {
      connected,
      since: new Date(since).toISOString(),
      lastError,
      reconnections,
      sessions,
      snapshotsOpen: open,
      snapshotsHeld: held,
      roundTripMs: roundTripMs === null ? null : Math.round(roundTripMs * 10) / 10,
      bytesInFlightMax: this.#chunks.bytesInFlightMax,
    };
  }

  async close(): Promise<void> {
    this.#poll.close();
    this.#patience.close();
    this.readers.close();
    await this.api.close();
  }

  /** Undefined if the server refuses: a session tells why. */
  async #download(snapshot: SnapshotName, fileName: string): Promise<Buffer | undefined> {
    if (!this.#isDownloadKnown) return undefined;
    const parameters = { ...snapshotParameters(snapshot), 'file-name': fileName };
    try {
      return await this.api.download(storePath(this.api, 'download'), parameters, encodedBlobBytesMax);
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      // No file that is missing is refused so, only a path.
      if (error.status === 404) this.#isDownloadKnown = false;
      return undefined;
    }
  }

  #blobOfSession(snapshot: SnapshotName, fileName: string): Promise<Buffer> {
    return this.#read(snapshot, fileName, (reader, signal) => reader.blob(fileName, signal));
  }

  async #read<T>(snapshot: SnapshotName, fileName: string, read: (reader: SnapshotReader, signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await this.readers.use(snapshot, read);
    } catch (error) {
      throw await this.#explained(error, snapshot, fileName);
    }
  }

  /** A server says no in words only: what it has tells why. */
  async #explained(error: unknown, snapshot: SnapshotName, fileName?: string): Promise<unknown> {
    if (!(error instanceof ServerRefusal) || ![400, 404].includes(error.status)) return error;
    const path = snapshotPath(snapshot);
    try {
      this.listings.drop(snapshot.namespace);
      const { facts } = await this.listings.snapshot(snapshot);
      if (fileName !== undefined && !facts.files.some(({ name }) => name === fileName)) {
        return new StoreError('NOT_FOUND', `${path} has no file ${fileName}`, { cause: error });
      }
      if (!facts.finished && fileName === undefined && error.status === 404) return new StoreError('NOT_FOUND', `${path} is no finished snapshot`, { cause: error });
      return facts.finished ? error : new StoreError('LOCKED', `${path} is being written: ${error.text}`, { cause: error });
    } catch (reason) {
      return reason;
    }
  }

  async #orPlanned<T>(group: GroupName, asked: Promise<T>, planned: T): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      if (error instanceof StoreError && error.code === 'NOT_FOUND' && this.#planned.has(groupPath(group))) return planned;
      throw error;
    }
  }

  /** Reads all indexes of a snapshot, so that its chunks are known. */
  async #indexesOf(snapshot: SnapshotName): Promise<void> {
    for (const { name } of (await this.snapshotFacts(snapshot)).files) if (!name.endsWith('.blob')) await this.index(snapshot, name);
  }
}

/** Nothing is sent before something is asked. USAGE for settings of the environment that make no sense. */
export async function openRemoteDatastore(repository: Repository, options: OpenOptions): Promise<RemoteDatastore> {
  const { defaultTimeoutMs, openServer } = await import('./server.js');
  const api = openServer(repository, options);
  const { timeoutMs = defaultTimeoutMs, isBounded, warn } = options;
  return new RemoteDatastore({ api, location: formatRepository(repository), timeoutMs, isBounded, warn });
}
