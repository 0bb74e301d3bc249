/** `pbsfs namespace`: what namespaces there are, new ones, and no more. */
import { UsageError } from '../../errors.js';
import { formatNamespace, parseNamespace, type Namespace } from '../../format/namespace.js';
import { stderrLog } from '../../mount/log.js';
import type { Datastore } from '../../store/datastore.js';
import { withAdministration, type Administered } from '../administer.js';
import { command, jsonOption, type OptionValues } from '../command.js';
import { confirm } from '../confirm.js';
import { LineWriter, writeOut } from '../output.js';
import { storeOption } from '../source-options.js';

const namespaceOptions = {
  ...storeOption,
  json: jsonOption,
  groups: { type: 'boolean', describe: 'delete: the groups in it, too' },
  yes: { type: 'boolean', describe: 'delete: do not ask before groups are removed' },
} as const;
type NamespaceValues = OptionValues<typeof namespaceOptions>;

const subcommands: Readonly<Record<string, (opened: Administered, namespace: Namespace, values: NamespaceValues) => Promise<void>>> = { list, create, delete: remove };
const names = Object.keys(subcommands);

export const namespaceCommand = command({
  name: 'namespace',
  summary: 'List, make and remove namespaces',
  positionals: [
    { name: 'SUBCOMMAND', describe: names.join(', '), completion: { words: names } },
    { name: 'NAMESPACE', describe: 'prod or prod/eu', optional: true, completion: 'namespace' },
  ],
  options: namespaceOptions,
  examples: [
    ['pbsfs namespace list --store /srv/store', 'all of them'],
    ['pbsfs namespace create --store /srv/store prod/eu', 'eu in prod, which must be there'],
    ['pbsfs namespace delete --store /srv/store --groups prod/eu', 'with everything in it'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'busy', 'exists', 'warnings'],
  run: async (values, [name = '', text = '']) => {
    const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
    if (subcommand === undefined) throw new UsageError(`'${name}' is none of ${names.join(', ')}`);
    if (name !== 'list' && text === '') throw new UsageError(`NAMESPACE is missing; pbsfs namespace ${name} takes one like prod/eu`);
    const strange = (['groups', 'yes'] as const).find((option) => name !== 'delete' && values[option] !== undefined);
    if (strange !== undefined) throw new UsageError(`--${strange} has no meaning for pbsfs namespace ${name}`);
    const namespace = parseNamespace(text);
    await withAdministration(values, (opened) => subcommand(opened, namespace, values));
  },
});

async function list({ store }: Administered, base: Namespace, { json = false }: NamespaceValues): Promise<void> {
  const out = new LineWriter();
  for await (const namespace of below(store, base)) {
    const text = formatNamespace(namespace);
    if (json) await out.json({ namespace: text });
    else await out.write(`${text}\n`);
  }
  await out.flush();
}

async function* below(store: Datastore, parent: Namespace): AsyncGenerator<Namespace> {
  for (const name of await store.namespaces(parent)) {
    yield [...parent, name];
    yield* below(store, [...parent, name]);
  }
}

async function create({ store }: Administered, namespace: Namespace, { json = false }: NamespaceValues): Promise<void> {
  await store.namespaces(namespace.slice(0, -1));
  await store.createNamespace(namespace, stderrLog(() => 'pbsfs: '));
  const text = formatNamespace(namespace);
  await writeOut(json ? `${JSON.stringify({ namespace: text })}\n` : `there is a namespace ${text}\n`);
}

async function remove({ store, administration }: Administered, namespace: Namespace, { json = false, groups = false, yes }: NamespaceValues): Promise<void> {
  const text = formatNamespace(namespace);
  await store.namespaces(namespace);
  if (groups) await confirm(`Remove the namespace ${text} with all groups and snapshots in it?`, yes);
  const removed = await administration.removeNamespace(namespace, { withGroups: groups });
  const { snapshots } = removed;
  await writeOut(json ? `${JSON.stringify({ removed: text, groups: removed.groups, snapshots })}\n` : `namespace ${text} is removed, with ${removed.groups} groups and ${snapshots} snapshots\n`);
}
