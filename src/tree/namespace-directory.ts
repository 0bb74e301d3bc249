/** A namespace: the types of which it has groups, each with its groups, and `ns` with the namespaces below it. */
import { FileError } from '../errors.js';
import { namespacePath, type Namespace } from '../format/namespace.js';
import { backupTypes, groupPath, type BackupType, type GroupName } from '../format/snapshot-name.js';
import type { Ino } from '../vfs/file-system.js';
import type { TreeContext } from './context.js';
import { GroupDirectory } from './group-directory.js';
import { NamesDirectory, type NamedNodes } from './names-directory.js';
import type { TreeNode } from './node.js';

/** The directory of `namespace`; only the tree's root has something hidden. A mount that can be written shows all types, to make groups in. */
export function namespaceDirectory(context: TreeContext, namespace: Namespace, hidden?: NamedNodes): NamesDirectory {
  const names = async (): Promise<NamedNodes> => {
    const [groups, children] = await Promise.all([context.store.groups(namespace), context.store.namespaces(namespace)]);
    const writable = context.staging !== undefined;
    const types = backupTypes.filter((type) => writable || groups.some((group) => group.type === type));
    const nodes = new Map<string, () => TreeNode>(types.map((type) => [type, () => typeDirectory(context, namespace, type)]));
    if (writable || children.length > 0) nodes.set('ns', () => childrenDirectory(context, namespace));
    return nodes;
  };
  const create = (ino: Ino): NamesDirectory => new NamesDirectory(ino, context, names, hidden === undefined ? {} : { hidden });
  return context.nodes.node(`namespace ${namespacePath(namespace)}`, create);
}

function typeDirectory(context: TreeContext, namespace: Namespace, type: BackupType): NamesDirectory {
  const names = async (): Promise<NamedNodes> => {
    const groups = (await context.store.groups(namespace)).filter((group) => group.type === type);
    return new Map(
      groups.map((group) => [group.id, () => context.nodes.node(groupKey(groupPath(group)), (ino) => new GroupDirectory(ino, context, group))]),
    );
  };
  const make = (id: string): Promise<void> => context.store.createGroup({ namespace, type, id }, context.log);
  const remove = (id: string): Promise<void> => removeGroup(context, { namespace, type, id });
  const options = context.staging === undefined ? {} : { make, remove };
  return context.nodes.node(`type ${type} ${namespacePath(namespace)}`, (ino) => new NamesDirectory(ino, context, names, options));
}

/** NOT_EMPTY if it has snapshots, or something is staged in it. */
async function removeGroup(context: TreeContext, group: GroupName): Promise<void> {
  const isEmpty = (await context.store.snapshots(group)).length === 0 && context.staging?.area(group) === undefined;
  if (!isEmpty) throw new FileError('NOT_EMPTY', `${groupPath(group)} is not empty`);
  await context.store.removeEmptyGroup(group, context.log);
}

function childrenDirectory(context: TreeContext, namespace: Namespace): NamesDirectory {
  const names = async (): Promise<NamedNodes> => {
    const children = await context.store.namespaces(namespace);
    return new Map(children.map((child) => [child, () => namespaceDirectory(context, [...namespace, child])]));
  };
  const make = (name: string): Promise<void> => context.store.createNamespace([...namespace, name], context.log);
  const options = context.staging === undefined ? {} : { make };
  return context.nodes.node(`ns ${namespacePath(namespace)}`, (ino) => new NamesDirectory(ino, context, names, options));
}

/** Key of the node for the group whose directory in the store is `path`. */
export function groupKey(path: string): string {
  return `group ${path}`;
}
