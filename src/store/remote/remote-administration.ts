/**
 * Notes, protection, owners and removal through a server's API. It refuses most of what can't be done by words alone: then its listings
 * are asked what is the matter. Format: protocol, sections 8.1, 8.3, 16 and Appendix C.2.
 */
import { FileError, StoreError, UsageError, codeOf, messageOf } from '../../errors.js';
import { clientLogFileName } from '../../format/archive-name.js';
import { parseAuthId } from '../../format/auth-id.js';
import { parseGcStatus, type GcStatus } from '../../format/gc-status.js';
import type { JsonValue } from '../../format/json.js';
import { integer } from '../../format/json-shape.js';
import { formatNamespace, namespacePath, type Namespace } from '../../format/namespace.js';
import type { KeepOptions } from '../../format/prune.js';
import { groupPath, snapshotPath, type GroupName, type SnapshotName } from '../../format/snapshot-name.js';
import type { Administration, GarbageOptions, PruneDecision, RemovedCounts } from '../administration.js';
import { checked, groupOf, rows } from './listing-answers.js';
import type { Listings } from './listings.js';
import { groupParameters, namespaceParameter, snapshotParameters, storePath } from './parameters.js';
import type { ServerApi } from './server-api.js';
import { countsOf, isProtected, partly } from './removed-counts.js';
import { ServerRefusal } from './server-refusal.js';
import { followTask } from './server-task.js';
import type { SnapshotReaders } from './snapshot-readers.js';

interface NamespaceRemoval {
  readonly withGroups: boolean;
  readonly skipProtected?: boolean;
}

const nothing: RemovedCounts = { groups: 0, snapshots: 0, protectedSnapshots: 0 };

type Method = Parameters<ServerApi['call']>[0];
type CallParameters = NonNullable<Parameters<ServerApi['call']>[2]>;

export class RemoteAdministration implements Administration {
  readonly #api: ServerApi;
  readonly #listings: Listings;
  readonly #readers: SnapshotReaders;

  constructor(api: ServerApi, listings: Listings, readers: SnapshotReaders) {
    this.#api = api;
    this.#listings = listings;
    this.#readers = readers;
  }

  async notes(of: SnapshotName | GroupName): Promise<string> {
    const answer = await this.#about(of, () => this.#call('GET', notesOf(of), parametersOf(of)), () => this.#checkFinished(of));
    return typeof answer === 'string' ? answer : '';
  }

  async setNotes(of: SnapshotName | GroupName, notes: string): Promise<void> {
    await this.#change(of, () => this.#call('PUT', notesOf(of), { ...parametersOf(of), notes }), () => this.#checkFinished(of));
  }

  async setProtected(snapshot: SnapshotName, value: boolean): Promise<void> {
    await this.#change(snapshot, () => this.#call('PUT', 'protected', { ...snapshotParameters(snapshot), protected: value }));
  }

  async removeSnapshot(snapshot: SnapshotName): Promise<void> {
    this.#readers.endIdle(snapshotPath(snapshot));
    await this.#change(snapshot, () => this.#call('DELETE', 'snapshots', snapshotParameters(snapshot)), async () => {
      if ((await this.#listings.snapshot(snapshot)).facts.protected) throw isProtected(snapshotPath(snapshot));
    });
  }

  async removeGroup(group: GroupName, { skipProtected = false } = {}): Promise<RemovedCounts> {
    const path = groupPath(group);
    this.#readers.endIdle(path);
    const before = await this.#countOf(group);
    try {
      return countsOf(await this.#change(group, () => this.#call('DELETE', 'groups', groupParameters(group))), before);
    } catch (error) {
      return partly(error, before, await this.#countOf(group), skipProtected, path);
    }
  }

  async removeNamespace(namespace: Namespace, { withGroups, skipProtected = false }: NamespaceRemoval): Promise<RemovedCounts> {
    const name = formatNamespace(namespace);
    if (name === '') throw new FileError('INVALID_ARGUMENT', 'the root of a datastore is no namespace that can be removed');
    this.#readers.endIdle(namespacePath(namespace));
    const before = await this.#countBelow(namespace);
    const parameters = { ...namespaceParameter(namespace), 'delete-groups': withGroups ? true : undefined };
    try {
      return countsOf(await this.#call('DELETE', 'namespace', parameters), withGroups ? before : nothing);
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      const left = await this.#countBelow(namespace);
      if (withGroups) return partly(error, before, left, skipProtected, `namespace ${name}`);
      if (left.groups > 0) throw new FileError('NOT_EMPTY', `namespace ${name} has ${left.groups} groups in it: remove them too, or first`, { cause: error });
      throw error;
    } finally {
      this.#listings.drop(namespace);
    }
  }

  async changeOwner(group: GroupName, owner: string): Promise<void> {
    checkOwner(owner);
    try {
      await this.#change(group, () => this.#call('POST', 'change-owner', { ...groupParameters(group), 'new-owner': owner }));
    } catch (cause) {
      // The one call that is refused with the status of a failed login.
      if (codeOf(cause) !== 'LOGIN_FAILED') throw cause;
      throw new StoreError('NO_PERMISSION', `${groupPath(group)} can't be given to ${owner}: ${messageOf(cause)}`, { cause });
    }
  }

  async writeLog(snapshot: SnapshotName, encoded: Buffer): Promise<void> {
    await this.#change(snapshot, () => this.#api.upload(storePath(this.#api, 'upload-backup-log'), snapshotParameters(snapshot), encoded), async () => {
      const { files } = (await this.#listings.snapshot(snapshot)).facts;
      if (files.some(({ name }) => name === clientLogFileName)) throw new StoreError('EXISTS', `${snapshotPath(snapshot)} has a log`);
    });
  }

  async prune(group: GroupName, keep: KeepOptions, { dryRun }: { readonly dryRun: boolean }): Promise<readonly PruneDecision[]> {
    if (!dryRun) this.#readers.endIdle(groupPath(group));
    const kept = Object.fromEntries(Object.entries(keep as Record<string, number | undefined>).map(([name, number]) => [`keep-${name}`, number]));
    const parameters = { ...groupParameters(group), ...kept, 'dry-run': dryRun ? true : undefined };
    const call = (): Promise<JsonValue> => this.#call('POST', 'prune', parameters);
    const answer = await (dryRun ? this.#about(group, call) : this.#change(group, call));
    return checked('what is pruned', () => rows(answer, 'prune').flatMap((row): PruneDecision[] => {
      const name = groupOf(row);
      const snapshot = { namespace: group.namespace, ...name, time: integer(row['backup-time'], 'backup-time') };
      return 'type' in snapshot ? [{ snapshot: { ...group, time: snapshot.time }, keep: row['keep'] === true, protected: row['protected'] === true }] : [];
    }).sort((a, b) => a.snapshot.time - b.snapshot.time));
  }

  async collectGarbage(options: GarbageOptions): Promise<GcStatus> {
    await followTask(this.#api, await this.#call('POST', 'gc', {}), options);
    const status = await this.#call('GET', 'gc', {});
    return checked('garbage collection', () => parseGcStatus(Buffer.from(JSON.stringify(status))));
  }

  #call(method: Method, what: string, parameters: CallParameters): Promise<JsonValue> {
    return this.#api.call(method, storePath(this.#api, what), parameters);
  }

  /** Says what is not there, and what `reasons` finds, instead of what the server says. */
  async #about<T>(of: SnapshotName | GroupName, call: () => Promise<T>, reasons: () => Promise<void> = () => Promise.resolve()): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ServerRefusal) || ![400, 404].includes(error.status)) throw error;
      this.#listings.drop(of.namespace);
      await ('time' in of ? this.#listings.snapshot(of) : this.#listings.snapshots(of));
      await reasons();
      throw error;
    }
  }

  async #change<T>(of: SnapshotName | GroupName, call: () => Promise<T>, reasons?: () => Promise<void>): Promise<T> {
    try {
      return await this.#about(of, call, reasons);
    } finally {
      this.#listings.drop(of.namespace);
    }
  }

  async #checkFinished(of: SnapshotName | GroupName): Promise<void> {
    if (!('time' in of) || (await this.#listings.snapshot(of)).facts.finished) return;
    throw new StoreError('UNFINISHED', `${snapshotPath(of)} has no manifest: it is not finished`);
  }

  async #countOf(group: GroupName): Promise<RemovedCounts> {
    this.#listings.drop(group.namespace);
    return await this.#countListed(group);
  }

  async #countListed(group: GroupName): Promise<RemovedCounts> {
    const listed = await this.#listings.listed(group);
    const protectedSnapshots = listed.filter(({ facts }) => facts.protected).length;
    return { groups: 1, snapshots: listed.length - protectedSnapshots, protectedSnapshots };
  }

  async #countBelow(namespace: Namespace): Promise<RemovedCounts> {
    const total = { ...nothing };
    const waiting = [namespace];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      const parent = at;
      this.#listings.drop(parent);
      for (const group of await this.#listings.groups(parent)) {
        const counts = await this.#countListed(group);
        total.groups += counts.groups;
        total.snapshots += counts.snapshots;
        total.protectedSnapshots += counts.protectedSnapshots;
      }
      waiting.push(...(await this.#listings.namespaces(parent)).map((name) => [...parent, name]));
    }
    return total;
  }
}

function notesOf(of: SnapshotName | GroupName): string {
  return 'time' in of ? 'notes' : 'group-notes';
}

function parametersOf(of: SnapshotName | GroupName): CallParameters {
  return 'time' in of ? snapshotParameters(of) : groupParameters(of);
}

function checkOwner(owner: string): void {
  try {
    parseAuthId(owner);
  } catch (cause) {
    throw new UsageError(messageOf(cause), { cause });
  }
}
