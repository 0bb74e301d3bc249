/** The way into a backup session of a server. Format: protocol, sections 9.1, 9.2 and 10.2. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FetchedChunks } from '../../codec/chunk-source.js';
import { FileError, codeOf } from '../../errors.js';
import { manifestFileName } from '../../format/archive-name.js';
import type { SnapshotName } from '../../format/snapshot-name.js';
import type { BackupOptions, BackupSession, ReusedChunk } from '../backup-session.js';
import { checkNewSnapshotName } from '../new-snapshot-name.js';
import { unlessAborted } from './back-off.js';
import { RemoteBackupSession } from './backup-session.js';
import type { Listings } from './listings.js';
import { snapshotParameters } from './parameters.js';
import { PreviousFiles } from './previous-files.js';
import { explainedRefusal } from './refused-backup.js';
import type { ServerApi } from './server-api.js';
import { ServerRefusal } from './server-refusal.js';
import { WriterConnection } from './writer-connection.js';

export interface RemoteBackupParts {
  readonly api: ServerApi;
  readonly listings: Listings;
  readonly chunks: FetchedChunks;
  /** The encoded bytes of a blob, by a reader session: it has the snapshot's lock, so that nobody writes or removes the snapshot any more. */
  readonly lockedBlob: (snapshot: SnapshotName, fileName: string) => Promise<Buffer>;
}

/** How long a server may take to find out that a connection is gone. */
const confirmedMs = 20_000;
const confirmPollMs = 500;

export async function beginRemoteBackup(parts: RemoteBackupParts, options: BackupOptions): Promise<BackupSession> {
  const { api, listings, chunks } = parts;
  const { snapshot, key, owner, warn, signal } = options;
  checkNewSnapshotName(snapshot, warn);
  checkOwner(owner, api.repository.authId);
  const connection = await connect(parts, snapshot, signal);
  try {
    // When it is aborted the connection is closed, which ends what is still asked in the session.
    const { time, previousFiles } = await unlessAborted(signal, previousOf(connection, key, warn));
    const groupOwner = await unlessAborted(signal, ownerOf(parts, snapshot));
    return new RemoteBackupSession({
      connection,
      snapshot,
      owner: groupOwner,
      previous: time === undefined || previousFiles === undefined ? undefined : { ...snapshot, time },
      previousFiles,
      key,
      warn,
      fetch: (chunk) => fetchIfAny(chunks, chunk),
      isThere: () => isThere(parts, snapshot),
      ended: () => {
        listings.drop(snapshot.namespace);
      },
    });
  } catch (error) {
    connection.close();
    throw error;
  }
}

async function connect(parts: RemoteBackupParts, snapshot: SnapshotName, signal: AbortSignal | undefined): Promise<WriterConnection> {
  const { api } = parts;
  const parameters = { store: api.repository.store, ...snapshotParameters(snapshot), benchmark: false, debug: false };
  try {
    return new WriterConnection(await api.openSession('backup', parameters, { signal }));
  } catch (error) {
    throw error instanceof ServerRefusal ? await explainedRefusal(parts, snapshot, error) : error;
  }
}

/** A server gives a new group to whoever makes it. */
function checkOwner(owner: string | undefined, authId: string): void {
  if (owner === undefined || owner === authId) return;
  const text = `a server gives new groups to who makes them, here ${authId}: log in as ${owner}, or change the owner afterwards (pbsfs chown)`;
  throw new FileError('NOT_SUPPORTED', text);
}

/** The time of the manifest where the server can't say it (404 of older ones): then nothing tells whether there is a previous snapshot at all. */
async function previousOf(
  connection: WriterConnection,
  key: BackupOptions['key'],
  warn: BackupOptions['warn'],
): Promise<{ readonly time?: number | undefined; readonly previousFiles?: PreviousFiles | undefined }> {
  try {
    const time = await connection.previousTime();
    return time === undefined ? {} : { time, previousFiles: await PreviousFiles.read(connection, key, warn) };
  } catch (error) {
    if (!(error instanceof ServerRefusal)) throw error;
    const previousFiles = await PreviousFiles.read(connection, key, () => undefined);
    return { time: previousFiles?.time, previousFiles };
  }
}

/** Only told: who may not list gets a name all the same. */
async function ownerOf({ listings, api }: RemoteBackupParts, snapshot: SnapshotName): Promise<string> {
  try {
    return (await listings.groupFacts(snapshot)).owner ?? api.repository.authId;
  } catch {
    return api.repository.authId;
  }
}

async function fetchIfAny(chunks: FetchedChunks, { digest, length }: ReusedChunk): Promise<Uint8Array | undefined> {
  try {
    return await chunks.fetch({ digest, length, keyNumber: -1 });
  } catch (error) {
    if (codeOf(error) === 'CHUNK_MISSING') return undefined;
    throw error;
  }
}

/**
 * While it is written, or before the server knows that its connection is gone, the server refuses a reader session; then it is finished or
 * removed. A download would not do: it takes no lock, and the manifest is there before the end.
 */
async function isThere({ listings, lockedBlob }: RemoteBackupParts, snapshot: SnapshotName): Promise<boolean> {
  for (const until = Date.now() + confirmedMs; Date.now() < until; await delay(confirmPollMs)) {
    listings.drop(snapshot.namespace);
    try {
      await lockedBlob(snapshot, manifestFileName);
      return true;
    } catch (error) {
      if (codeOf(error) === 'NOT_FOUND') return false;
    }
  }
  return false;
}
