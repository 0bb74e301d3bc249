/** Backup sessions: who may begin one, and what it takes and gives back. Format: protocol, sections 9.2, 9.7 and 14. */
import type { ServerHttp2Session } from 'node:http2';
import { decodeBlob } from '../../../codec/blob-decoder.js';
import { ChunkInserter } from '../../../codec/chunk-inserter.js';
import { codeOf, messageOf, StoreError } from '../../../errors.js';
import { manifestFileName } from '../../../format/archive-name.js';
import { isBenchmarkGroup, type SnapshotName } from '../../../format/snapshot-name.js';
import { parseManifest } from '../../../format/manifest.js';
import { loadZstd, type Zstd } from '../../../os/zstd/zstd.js';
import { receiveLocalBackup, type ReceivedBackup } from '../../../store/local/receive-backup.js';
import type { Call } from '../../endpoint.js';
import { Refusal } from '../../refusal.js';
import type { ServedStore } from '../../server-context.js';
import { protocol, type Protocol, type UpgradedSession } from '../../upgrade.js';
import { SessionServer } from '../session-server.js';
import { auditRefusal, SessionTask, type SessionTaskOptions } from '../session-task.js';
import { checkNamespace, namespaceOf, servedStore, snapshotOf, snapshotParameters, taskIdOf } from '../snapshot-parameters.js';
import { backupEndpoints } from './backup-endpoints.js';
import { Upload } from './upload.js';

const parameters = { ...snapshotParameters, benchmark: { kind: 'boolean', optional: true }, 'no-cache': { kind: 'boolean', optional: true } } as const;

type BackupCall = Call<typeof parameters>;

/** All sessions share `inserter`; its threads start with the first of them. */
export function backupProtocol(inserter = new ChunkInserter()): Protocol {
  return protocol({
    name: 'backup',
    id: 'proxmox-backup-protocol-v1',
    path: '/backup',
    parameters,
    admit: (call) => {
      const { store } = call.parameters;
      if (!call.caller.privilegesOn(store, namespaceOf(call.parameters)).has('Datastore.Backup')) {
        return Promise.reject(new Refusal(403, `${call.caller.authId} has no Datastore.Backup there`));
      }
      servedStore(call.context, store);
      return Promise.resolve();
    },
    begin: async (call) => await beginBackup(call, inserter),
  });
}

async function beginBackup(call: BackupCall, inserter: ChunkInserter): Promise<UpgradedSession> {
  const store = servedStore(call.context, call.parameters.store);
  const snapshot = snapshotOf(call.parameters);
  const about: SessionTaskOptions = { type: 'backup', id: taskIdOf(store.name, snapshot, false), call };
  try {
    await checkPlace(call, store, snapshot);
    inserter.start();
    const zstd = await loadZstd();
    const isBenchmark = call.parameters.benchmark === true;
    const backup = await receiveLocalBackup(store.path, {
      snapshot,
      owner: isBenchmark ? undefined : call.caller.authId,
      warn: (line) => {
        call.context.log(line);
      },
      inserter,
      mayBePrevious: (candidate) => isGood(store, candidate, zstd),
    });
    return new BackupUpgrade({ about, call, store, backup, zstd, isBenchmark });
  } catch (error) {
    auditRefusal(about, messageOf(error));
    throw error;
  }
}

async function checkPlace({ parameters: { benchmark = false } }: BackupCall, store: ServedStore, snapshot: SnapshotName): Promise<void> {
  try {
    await checkNamespace(store, snapshot.namespace);
  } catch (cause) {
    throw codeOf(cause) === 'NOT_FOUND' ? new Refusal(404, messageOf(cause), { cause }) : cause;
  }
  if (isBenchmarkGroup(snapshot) !== benchmark) throw new Refusal(400, 'group host/benchmark is for benchmarks, and they for it');
}

/** Whether the newest snapshot may be the base of the next one: unless a verification has failed. Rejects if its manifest can't be read. */
async function isGood({ datastore }: ServedStore, snapshot: SnapshotName, zstd: Zstd): Promise<boolean> {
  try {
    const { unprotected } = parseManifest(decodeBlob(await datastore.blob(snapshot, manifestFileName), zstd, undefined));
    return unprotected.verifyState?.state !== 'failed';
  } catch (error) {
    // It is being removed: whoever locks it next sees that.
    if (codeOf(error) === 'NOT_FOUND') return true;
    throw error;
  }
}

interface BackupUpgradeParts {
  readonly about: SessionTaskOptions;
  readonly call: BackupCall;
  readonly store: ServedStore;
  readonly backup: ReceivedBackup;
  readonly zstd: Zstd;
  readonly isBenchmark: boolean;
}

class BackupUpgrade implements UpgradedSession {
  readonly #parts: BackupUpgradeParts;
  readonly #task: SessionTask;
  readonly #upload: Upload;

  constructor(parts: BackupUpgradeParts) {
    const { about, backup, zstd, isBenchmark } = parts;
    this.#parts = parts;
    this.#task = new SessionTask(about);
    this.#upload = new Upload({
      backup,
      zstd,
      isBenchmark,
      log: (line) => {
        this.#task.task.log(line);
      },
    });
  }

  async serve(session: ServerHttp2Session): Promise<void> {
    const { call, store, backup } = this.#parts;
    const endpoints = backupEndpoints({ upload: this.#upload, store, previous: backup.previous });
    await new SessionServer('backup', endpoints, call).serve(session, this.#task.task.signal);
    await this.#end('the connection was closed before the backup was finished');
  }

  async abandon(): Promise<void> {
    await this.#end('the connection was gone before the session began');
  }

  async #end(reason: string): Promise<void> {
    const { backup, call, isBenchmark } = this.#parts;
    await backup.abort();
    const { isFinished } = this.#upload;
    if (!isBenchmark) call.context.metrics.add(isFinished ? 'backups_finished_total' : 'backups_failed_total');
    this.#task.end(isFinished || isBenchmark ? undefined : new StoreError('INTERRUPTED', this.#task.task.signal.aborted ? 'the task was ended' : reason));
  }
}
