/** Reader sessions: who may begin one, and what they hold. Format: protocol, sections 9.3 and 9.7. */
import type { ServerHttp2Session } from 'node:http2';
import { messageOf } from '../../../errors.js';
import type { SnapshotName } from '../../../format/snapshot-name.js';
import { groupPath } from '../../../format/snapshot-name.js';
import type { HeldSnapshot } from '../../../store/datastore.js';
import { holdForReading } from '../../../store/local/hold-snapshot.js';
import { owns } from '../../caller.js';
import type { Call } from '../../endpoint.js';
import { Refusal } from '../../refusal.js';
import type { ServedStore } from '../../server-context.js';
import { protocol, type Protocol, type UpgradedSession } from '../../upgrade.js';
import { SessionServer } from '../session-server.js';
import { auditRefusal, SessionTask, type SessionTaskOptions } from '../session-task.js';
import { checkNamespace, namespaceOf, servedStore, snapshotOf, snapshotParameters, taskIdOf } from '../snapshot-parameters.js';
import { readerEndpoints } from './reader-endpoints.js';

type ReaderCall = Call<typeof snapshotParameters>;

export function readerProtocol(): Protocol {
  return protocol({
    name: 'reader',
    id: 'proxmox-backup-reader-protocol-v1',
    path: '/reader',
    parameters: snapshotParameters,
    admit: (call) => {
      const held = privilegesOf(call);
      if (!held.has('Datastore.Read') && !held.has('Datastore.Backup')) {
        return Promise.reject(new Refusal(400, `${call.caller.authId} has neither Datastore.Read nor Datastore.Backup there`));
      }
      servedStore(call.context, call.parameters.store);
      return Promise.resolve();
    },
    begin: async (call) => await beginReader(call),
  });
}

function privilegesOf({ caller, parameters }: ReaderCall): ReturnType<ReaderCall['caller']['privilegesOn']> {
  return caller.privilegesOn(parameters.store, namespaceOf(parameters));
}

async function beginReader(call: ReaderCall): Promise<UpgradedSession> {
  const store = servedStore(call.context, call.parameters.store);
  const snapshot = snapshotOf(call.parameters);
  const about: SessionTaskOptions = { type: 'reader', id: taskIdOf(store.name, snapshot, true), call };
  try {
    await checkNamespace(store, snapshot.namespace);
    if (!privilegesOf(call).has('Datastore.Read')) await checkOwner(call, store, snapshot);
    const held = await holdForReading(store.path, snapshot, (line) => {
      call.context.log(line);
    });
    return new ReaderUpgrade(call, store, snapshot, held, new SessionTask(about));
  } catch (error) {
    auditRefusal(about, messageOf(error));
    throw error;
  }
}

async function checkOwner({ caller }: ReaderCall, { datastore }: ServedStore, snapshot: SnapshotName): Promise<void> {
  const { owner } = await datastore.groupFacts(snapshot);
  if (!owns(caller, owner)) throw new Refusal(400, `${groupPath(snapshot)} does not belong to ${caller.authId}`);
}

class ReaderUpgrade implements UpgradedSession {
  constructor(
    private readonly call: ReaderCall,
    private readonly store: ServedStore,
    private readonly snapshot: SnapshotName,
    private readonly held: HeldSnapshot,
    private readonly task: SessionTask,
  ) {}

  async serve(session: ServerHttp2Session): Promise<void> {
    await new SessionServer('reader', readerEndpoints(this.store, this.snapshot), this.call).serve(session, this.task.task.signal);
    await this.abandon();
  }

  abandon(): Promise<void> {
    this.held.release();
    this.task.end();
    return Promise.resolve();
  }
}
