/** A namespace: the types of which it has groups, each with its groups, and `ns` with the namespaces below it. */
import { namespacePath, type Namespace } from '../format/namespace.js';
import { backupTypes, groupPath, type BackupType } from '../format/snapshot-name.js';
import type { TreeContext } from './context.js';
import { GroupDirectory } from './group-directory.js';
import { NamesDirectory, type NamedNodes } from './names-directory.js';
import type { TreeNode } from './node.js';

/** The directory of `namespace`; only the tree's root has something hidden. */
export function namespaceDirectory(context: TreeContext, namespace: Namespace, hidden?: NamedNodes): NamesDirectory {
  const names = async (): Promise<NamedNodes> => {
    const [groups, children] = await Promise.all([context.store.groups(namespace), context.store.namespaces(namespace)]);
    const types = backupTypes.filter((type) => groups.some((group) => group.type === type));
    const nodes = new Map<string, () => TreeNode>(types.map((type) => [type, () => typeDirectory(context, namespace, type)]));
    if (children.length > 0) nodes.set('ns', () => childrenDirectory(context, namespace));
    return nodes;
  };
  return context.nodes.node(`namespace ${namespacePath(namespace)}`, (ino) => new NamesDirectory(ino, context, names, hidden));
}

function typeDirectory(context: TreeContext, namespace: Namespace, type: BackupType): NamesDirectory {
  const names = async (): Promise<NamedNodes> => {
    const groups = (await context.store.groups(namespace)).filter((group) => group.type === type);
    return new Map(
      groups.map((group) => [group.id, () => context.nodes.node(groupKey(groupPath(group)), (ino) => new GroupDirectory(ino, context, group))]),
    );
  };
  return context.nodes.node(`type ${type} ${namespacePath(namespace)}`, (ino) => new NamesDirectory(ino, context, names));
}

function childrenDirectory(context: TreeContext, namespace: Namespace): NamesDirectory {
  const names = async (): Promise<NamedNodes> => {
    const children = await context.store.namespaces(namespace);
    return new Map(children.map((child) => [child, () => namespaceDirectory(context, [...namespace, child])]));
  };
  return context.nodes.node(`ns ${namespacePath(namespace)}`, (ino) => new NamesDirectory(ino, context, names));
}

/** Key of the node for the group whose directory in the store is `path`. */
export function groupKey(path: string): string {
  return `group ${path}`;
}
