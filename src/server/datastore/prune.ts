/** POST `prune` and `prune-datastore`. Format: protocol, sections 8.1 to 8.3. */
import type { JsonObject } from '../../format/json.js';
import { formatNamespace } from '../../format/namespace.js';
import { keepPeriods, type KeepOptions, type KeepPeriod } from '../../format/prune.js';
import { groupPath, snapshotPath, type GroupName } from '../../format/snapshot-name.js';
import type { PruneDecision } from '../../store/administration.js';
import { messageOf } from '../../errors.js';
import { owns, type Caller } from '../caller.js';
import { endpoint, type Call, type ParameterSpec } from '../endpoint.js';
import type { ServedStore } from '../server-context.js';
import type { Task } from '../tasks.js';
import { audited } from './audited.js';
import { groupOf, groupParameters, inNamespace, namespaceOf } from './parameters.js';
import { allow, holds, namespacesBelow, scopeIn, storeOf } from './permissions.js';

const removing = { full: ['Modify'], limited: ['Prune'] } as const;
const depthMax = 7;
const keepSpec = { kind: 'integer', optional: true, min: 1 } as const satisfies ParameterSpec;
const keepParameters = {
  'keep-last': keepSpec,
  'keep-hourly': keepSpec,
  'keep-daily': keepSpec,
  'keep-weekly': keepSpec,
  'keep-monthly': keepSpec,
  'keep-yearly': keepSpec,
  'dry-run': { kind: 'boolean', optional: true },
} as const;

export const pruneEndpoint = endpoint({
  method: 'POST',
  path: '/admin/datastore/{store}/prune',
  parameters: { ...groupParameters, ...keepParameters, 'use-task': { kind: 'boolean', optional: true } },
  run: async (call) => {
    const [store, group, keep] = [storeOf(call), groupOf(call.parameters), keepOf(call.parameters)];
    const dryRun = call.parameters['dry-run'] === true;
    return await audited(call, dryRun ? 'prune-dry-run' : 'prune', store, groupPath(group), async () => {
      await allow(call.caller, store, group, removing);
      await store.datastore.snapshots(group);
      if (call.parameters['use-task'] !== true) return { data: (await prune(call, store, group, keep, dryRun)).map((decision) => decisionItem(decision, dryRun)) };
      const { upid } = call.context.tasks.start('prune', `${store.name}:${groupPath(group)}`, call.caller, async (task) => pruneGroup(call, store, group, keep, dryRun, task));
      return { data: upid };
    });
  },
});

export const pruneDatastoreEndpoint = endpoint({
  method: 'POST',
  path: '/admin/datastore/{store}/prune-datastore',
  parameters: { ...inNamespace, ...keepParameters, 'max-depth': { kind: 'integer', optional: true, min: 0, max: depthMax } },
  run: async (call) => {
    const [store, base, keep] = [storeOf(call), namespaceOf(call.parameters), keepOf(call.parameters)];
    const { 'dry-run': dryRun = false, 'max-depth': depth = depthMax } = call.parameters;
    return await audited(call, 'prune-datastore', store, formatNamespace(base), async () => {
      scopeIn(call.caller, store, base, removing);
      await store.datastore.groups(base);
      const { upid } = call.context.tasks.start('prune', store.name, call.caller, async (task) => {
        let warnings = 0;
        for await (const namespace of namespacesBelow(store.datastore, base, depth)) {
          for (const group of await prunable(call.caller, store, namespace)) {
            if (task.signal.aborted) throw new Error('the task was ended');
            if ((await pruneGroup(call, store, group, keep, dryRun, task)) !== undefined) warnings++;
          }
        }
        return warnings === 0 ? undefined : `WARNINGS: ${warnings}`;
      });
      return { data: upid };
    });
  },
});

function keepOf(parameters: { readonly [Name in `keep-${KeepPeriod}`]: number | undefined }): KeepOptions {
  return Object.fromEntries(keepPeriods.map((period) => [period, parameters[`keep-${period}`]]));
}

async function prunable(caller: Caller, store: ServedStore, namespace: GroupName['namespace']): Promise<readonly GroupName[]> {
  const all = holds(caller, store, namespace, removing.full);
  if (!all && !holds(caller, store, namespace, removing.limited)) return [];
  const groups: GroupName[] = [];
  for (const group of await store.datastore.groups(namespace)) if (all || owns(caller, (await store.datastore.groupFacts(group)).owner)) groups.push(group);
  return groups;
}

/** With a line for each snapshot. What could not be removed, or a group that could not be read, is a warning. */
async function pruneGroup(call: Pick<Call, 'context'>, store: ServedStore, group: GroupName, keep: KeepOptions, dryRun: boolean, task: Task): Promise<string | undefined> {
  let warnings = 0;
  const warn = (line: string): void => {
    warnings++;
    task.log(`warning: ${line}`);
  };
  try {
    task.log(`pruning ${groupPath(group)}${dryRun ? ' (only looking)' : ''}`);
    const decisions = await prune(call, store, group, keep, dryRun, warn);
    for (const decision of decisions) task.log(`${snapshotPath(decision.snapshot)}: ${wordOf(decision)}`);
  } catch (error) {
    warn(messageOf(error));
  }
  return warnings === 0 ? undefined : `WARNINGS: ${warnings}`;
}

async function prune({ context }: Pick<Call, 'context'>, store: ServedStore, group: GroupName, keep: KeepOptions, dryRun: boolean, warn?: (line: string) => void): Promise<readonly PruneDecision[]> {
  const toLog = (line: string): void => {
    context.log(`${store.name}: ${line}`);
  };
  return await (await store.datastore.administration(warn ?? toLog)).prune(group, keep, { dryRun });
}

function wordOf({ keep, protected: isProtected }: PruneDecision): string {
  if (isProtected) return 'protected';
  return keep ? 'keep' : 'remove';
}

function decisionItem({ snapshot, keep, protected: isProtected }: PruneDecision, dryRun: boolean): JsonObject {
  const ns = formatNamespace(snapshot.namespace);
  return {
    'backup-type': snapshot.type,
    'backup-id': snapshot.id,
    'backup-time': snapshot.time,
    keep,
    protected: isProtected,
    ...(dryRun && ns !== '' && { ns }),
  };
}
