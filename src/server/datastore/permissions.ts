/** Who may do what with a datastore. Format: protocol, section 7. */
import { codeOf } from '../../errors.js';
import { isNamespaceChild, formatNamespace, type Namespace } from '../../format/namespace.js';
import { groupPath, type GroupName } from '../../format/snapshot-name.js';
import type { Datastore } from '../../store/datastore.js';
import { owns, type Caller, type Privilege } from '../caller.js';
import { Refusal } from '../refusal.js';
import type { ServedStore, ServerContext } from '../server-context.js';

/** Any of `full` is enough; any of `limited` is enough for the caller's own groups. Without `Datastore.`. */
export interface Demand {
  readonly full: readonly Short[];
  readonly limited?: readonly Short[];
  /** Of a refusal, from the start of the request. */
  readonly delayMs?: number;
}

type Short = Privilege extends `Datastore.${infer Name}` ? Name : never;

const namespacesMax = 100_000;

interface Asking {
  readonly context: Pick<ServerContext, 'stores'>;
  readonly caller: Caller;
  readonly parameters: { readonly store: string };
}

/** 400 if there is none of this name. */
export function storeOf({ context, parameters: { store } }: Asking): ServedStore {
  const served = context.stores.get(store);
  if (served === undefined) throw new Refusal(400, `there is no datastore '${store}'`);
  return served;
}

export function holds(caller: Caller, { name }: ServedStore, namespace: Namespace, privileges: readonly Short[]): boolean {
  const held = caller.privilegesOn(name, namespace);
  return privileges.some((privilege) => held.has(`Datastore.${privilege}`));
}

/** Whether it is for all groups of the namespace, or only for the caller's own. 403 without any of the privileges. */
export function scopeIn(caller: Caller, store: ServedStore, namespace: Namespace, { full, limited = [], delayMs = 0 }: Demand): 'all' | 'own' {
  if (holds(caller, store, namespace, full)) return 'all';
  if (holds(caller, store, namespace, limited)) return 'own';
  throw forbidden(store, namespace, [...full, ...limited], delayMs);
}

/** 403 without any of the privileges, 400 for what belongs to others. */
export async function allow(caller: Caller, store: ServedStore, group: GroupName, demand: Demand): Promise<void> {
  if (scopeIn(caller, store, group.namespace, demand) === 'own') await demandOwner(caller, store, group);
}

export async function demandOwner(caller: Caller, { datastore }: ServedStore, group: GroupName): Promise<void> {
  const { owner } = await datastore.groupFacts(group);
  if (!owns(caller, owner)) throw new Refusal(400, `${groupPath(group)} does not belong to ${caller.authId}, or does not exist`);
}

export function forbidden({ name }: ServedStore, namespace: Namespace, privileges: readonly Short[], delayMs = 0): Refusal {
  const place = namespace.length === 0 ? name : `${name}, namespace ${formatNamespace(namespace)}`;
  return new Refusal(403, `permission check failed - this needs Datastore.${privileges.join(' or Datastore.')} on ${place}`, { delayMs });
}

/** `base`, which need not exist, and all namespaces below it, `depth` levels deep, parents first. */
export async function* namespacesBelow(datastore: Datastore, base: Namespace, depth: number): AsyncGenerator<Namespace> {
  const waiting: Namespace[] = [base];
  for (let count = 0; count < waiting.length; count++) {
    const namespace = waiting[count] ?? [];
    yield namespace;
    if (namespace.length - base.length >= depth) continue;
    if (waiting.length > namespacesMax) throw new Refusal(400, `there are more than ${namespacesMax} namespaces`);
    for (const name of await childrenOf(datastore, namespace)) if (isNamespaceChild(namespace, name)) waiting.push([...namespace, name]);
  }
}

async function childrenOf(datastore: Datastore, namespace: Namespace): Promise<readonly string[]> {
  try {
    return await datastore.namespaces(namespace);
  } catch (error) {
    if (codeOf(error) === 'NOT_FOUND') return [];
    throw error;
  }
}
