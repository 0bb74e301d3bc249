/** A directory whose entries are directories that a question to the store names: types, groups, namespaces. */
import type { Attributes, Directory, Entry, Ino } from '../vfs/file-system.js';
import { S_IFDIR } from '../vfs/file-system.js';
import type { TreeContext } from './context.js';
import { Fresh } from './fresh.js';
import { directoryAttributes, freshMs, listedDirectory, TreeNode } from './node.js';

/** Names in the order in which they are listed, and what each of them is. */
export type NamedNodes = ReadonlyMap<string, () => TreeNode>;

export class NamesDirectory extends TreeNode {
  readonly #context: TreeContext;
  readonly #names: Fresh<NamedNodes>;
  readonly #hidden: NamedNodes;

  /** `hidden` names are opened when asked for, and not listed. */
  constructor(ino: Ino, context: TreeContext, names: () => Promise<NamedNodes>, hidden: NamedNodes = new Map()) {
    super(ino);
    this.#context = context;
    this.#names = new Fresh(names);
    this.#hidden = hidden;
  }

  override attributes(): Attributes {
    return directoryAttributes(this.ino, this.#context.owner, this.#context.opened);
  }

  override async lookup(name: Buffer): Promise<Entry | undefined> {
    const text = name.toString('latin1');
    const node = this.#hidden.get(text) ?? (await this.#names.get()).get(text);
    return node && { attributes: await node().attributes(), ttlMs: freshMs };
  }

  override async openDirectory(): Promise<Directory> {
    const names = [...(await this.#names.get())];
    return listedDirectory(names.map(([name, node]) => ({ name: Buffer.from(name), ino: node().ino, type: S_IFDIR })));
  }
}
