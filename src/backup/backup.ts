/** One backup: all its archives, then the manifest, or nothing. */
import { performance } from 'node:perf_hooks';
import { BackupLog } from './backup-log.js';
import { interrupted, type BackupRequest, type BackupResult } from './backup-request.js';

/** Rejects with INTERRUPTED when the request's signal is given. Whatever it rejects with, the datastore is as it was, but for chunks. */
export async function runBackup(request: BackupRequest): Promise<BackupResult> {
  const begun = performance.now();
  const { store, encryption, time, group } = request;
  const log = new BackupLog(request.observer);
  const snapshot = { ...group, time };
  const key = encryption.cryptMode === 'encrypt' ? encryption.key : undefined;
  const { signal, owner } = request;
  const session = await store.beginBackup({ snapshot, key, owner, warn: (line) => log.warn(line), signal }).catch((error: unknown) => {
    throw signal.aborted ? interrupted() : error;
  });
  // What waits for the store does not wait on.
  const stop = (): void => void session.abort();
  signal.addEventListener('abort', stop);
  try {
    // The threads of the session start while this is loaded.
    const { writeSnapshot } = await import('./snapshot-writer.js');
    await writeSnapshot(request, session, log);
    return { snapshot, owner: session.owner, archives: log.archives, warnings: log.warnings, durationMs: performance.now() - begun };
  } catch (error) {
    await session.abort();
    throw signal.aborted ? interrupted() : error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
