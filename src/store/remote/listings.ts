/**
 * What a datastore on a server contains: one question about groups and one about snapshots for each namespace serve everything that is asked
 * about it for some seconds. Format: protocol, sections 8.1 and 8.2.
 */
import { StoreError } from '../../errors.js';
import { formatNamespace, namespacePath, type Namespace } from '../../format/namespace.js';
import { groupPath, snapshotPath, type GroupName, type SnapshotName } from '../../format/snapshot-name.js';
import type { GroupFacts } from '../datastore.js';
import type { ServerApi } from './server-api.js';
import { ServerRefusal } from './server-refusal.js';
import { KeptAnswers } from './kept-answers.js';
import { listedStores } from './listed-stores.js';
import { groupKeyOf, readGroups, readNamespaces, readSnapshots, type ListedGroup, type ListedGroups, type ListedSnapshot, type ListedSnapshots } from './listing-answers.js';
import { changedDirectories } from './listing-changes.js';
import { groupParameters, namespaceParameter, storePath } from './parameters.js';

export class Listings {
  readonly #api: ServerApi;
  readonly #groups: KeptAnswers<ListedGroups>;
  readonly #snapshots: KeptAnswers<ListedSnapshots>;
  readonly #children: KeptAnswers<readonly string[]>;
  /** Whole notes of groups whose listing has only the first line. */
  readonly #notes = new WeakMap<ListedGroup, Promise<string | undefined>>();

  /** `changed` is given the directories, relative to the store, whose listing is another one than before. */
  constructor(api: ServerApi, changed: (directories: readonly string[]) => void) {
    this.#api = api;
    const isAway = (): boolean => api.state().lastError !== undefined;
    this.#groups = new KeptAnswers({
      isAway,
      ask: async (namespace) => readGroups(await this.#ask('groups', namespace), namespace),
      changed: (namespace, before, now) => {
        changed(changedDirectories.groups(namespace, before, now));
      },
    });
    this.#snapshots = new KeptAnswers({
      isAway,
      ask: async (namespace) => readSnapshots(await this.#ask('snapshots', namespace)),
      changed: (namespace, before, now) => {
        changed(changedDirectories.snapshots(namespace, before, now));
      },
    });
    this.#children = new KeptAnswers({
      isAway,
      ask: (parent) => this.#askChildren(parent),
      changed: (parent, before, now) => {
        if (before.join('/') !== now.join('/')) changed([`${namespacePath(parent)}${parent.length === 0 ? '' : '/'}ns`]);
      },
    });
  }

  async namespaces(parent: Namespace): Promise<readonly string[]> {
    const children = await this.#children.get(parent);
    // A server lists the children of what is not there: none.
    if (children.length === 0 && parent.length > 0) await this.#groups.get(parent);
    return children;
  }

  async groups(namespace: Namespace): Promise<readonly GroupName[]> {
    return [...(await this.#groups.get(namespace)).values()].map(({ group }) => group);
  }

  async groupFacts(group: GroupName): Promise<GroupFacts> {
    const listed = (await this.#groups.get(group.namespace)).get(groupKeyOf(group));
    if (listed === undefined) throw noGroup(this.#api, group);
    return { owner: listed.owner, notes: await this.#notesOf(listed) };
  }

  /** Oldest first. NOT_FOUND if there is no such group. */
  async snapshots(group: GroupName): Promise<readonly SnapshotName[]> {
    return (await this.listed(group)).map(({ time }) => ({ ...group, time }));
  }

  /** NOT_FOUND tells whether the datastore, the namespace, the group or the snapshot is not there. */
  async snapshot(snapshot: SnapshotName): Promise<ListedSnapshot> {
    const found = withTime(await this.listed(snapshot), snapshot.time);
    if (found !== undefined) return found;
    throw new StoreError('NOT_FOUND', `there is no snapshot ${snapshotPath(snapshot)} in ${this.#place}`);
  }

  /** As snapshots(), with what is known of each. */
  async listed(group: GroupName): Promise<readonly ListedSnapshot[]> {
    const listed = (await this.#snapshots.get(group.namespace)).get(groupKeyOf(group));
    if (listed !== undefined) return listed;
    if ((await this.#groups.get(group.namespace)).has(groupKeyOf(group))) return [];
    throw noGroup(this.#api, group);
  }

  /** For polls: asks again about what was listed in the last `wantedMs`. */
  async renew(wantedMs: number): Promise<void> {
    await Promise.all([this.#groups.renew(wantedMs), this.#snapshots.renew(wantedMs), this.#children.renew(wantedMs)]);
  }

  /** After something was changed in the namespace, or the namespace itself. */
  drop(namespace: Namespace): void {
    this.#groups.drop(namespace);
    this.#snapshots.drop(namespace);
    this.#children.drop(namespace);
    this.#children.drop(namespace.slice(0, -1));
  }

  get #place(): string {
    const { host, store } = this.#api.repository;
    return `datastore ${store} of ${host}`;
  }

  async #ask(what: 'groups' | 'snapshots', namespace: Namespace): ReturnType<ServerApi['call']> {
    try {
      return await this.#api.call('GET', storePath(this.#api, what), namespaceParameter(namespace));
    } catch (error) {
      throw await this.#explained(error, namespace);
    }
  }

  async #askChildren(parent: Namespace): Promise<readonly string[]> {
    try {
      return await this.#childrenOf(parent);
    } catch (error) {
      throw await this.#explained(error, parent);
    }
  }

  async #childrenOf(parent: Namespace): Promise<readonly string[]> {
    const parameters = { parent: parent.length === 0 ? undefined : formatNamespace(parent), 'max-depth': 1 };
    try {
      return readNamespaces(await this.#api.call('GET', storePath(this.#api, 'namespace'), parameters), parent);
    } catch (error) {
      // Servers before 2.2 know no namespaces.
      if (parent.length === 0 && error instanceof ServerRefusal && error.status === 404) return [];
      throw error;
    }
  }

  /** A server says the same of everything that is not there, in words: what is missing is found out by asking what there is. */
  async #explained(error: unknown, namespace: Namespace): Promise<unknown> {
    if (!(error instanceof ServerRefusal) || ![400, 404].includes(error.status)) return error;
    try {
      const { store, host, authId } = this.#api.repository;
      const stores = (await listedStores(this.#api)).map(({ name }) => name);
      if (!stores.includes(store)) {
        const seen = stores.length === 0 ? 'none at all' : stores.sort().join(', ');
        return new StoreError('NOT_FOUND', `${host} has no datastore ${store} that ${authId} may use; it may use ${seen}`, { cause: error });
      }
      for (const depth of namespace.keys()) {
        const parent = namespace.slice(0, depth);
        if ((await this.#childrenOf(parent)).includes(namespace[depth] ?? '')) continue;
        return new StoreError('NOT_FOUND', `there is no namespace ${formatNamespace(namespace.slice(0, depth + 1))} in ${this.#place}`, { cause: error });
      }
    } catch {
      // Who may not know what there is gets the server's words.
    }
    return error;
  }

  #notesOf(listed: ListedGroup): Promise<string | undefined> {
    const { comment } = listed;
    if (comment?.endsWith('\n') !== true) return Promise.resolve(comment);
    let notes = this.#notes.get(listed);
    if (notes === undefined) {
      notes = this.#askNotes(listed);
      this.#notes.set(listed, notes);
    }
    return notes;
  }

  /** Notes are beside the data: where they can't be had the first line has to do. */
  async #askNotes({ group, comment }: ListedGroup): Promise<string | undefined> {
    try {
      const answer = await this.#api.call('GET', storePath(this.#api, 'group-notes'), groupParameters(group));
      return typeof answer === 'string' ? answer : comment;
    } catch {
      return comment;
    }
  }
}

/** A group may have thousands. */
function withTime(listed: readonly ListedSnapshot[], time: number): ListedSnapshot | undefined {
  let low = 0;
  for (let high = listed.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if ((listed[middle]?.time ?? 0) < time) low = middle + 1;
    else high = middle;
  }
  const found = listed[low];
  return found?.time === time ? found : undefined;
}

function noGroup({ repository: { host, store } }: ServerApi, group: GroupName): StoreError {
  return new StoreError('NOT_FOUND', `there is no group ${groupPath(group)} in datastore ${store} of ${host}`);
}
