/** A directory whose entries are directories that a question to the store names: types, groups, namespaces. */
import { codeOf, FileError, messageOf, StoreError } from '../errors.js';
import type { Attributes, Directory, Entry, Ino } from '../vfs/file-system.js';
import { S_IFDIR } from '../vfs/file-system.js';
import type { TreeContext } from './context.js';
import { Fresh } from './fresh.js';
import { directoryAttributes, freshMs, listedDirectory, readOnly, TreeNode } from './node.js';

/** Names in the order in which they are listed, and what each of them is. */
export type NamedNodes = ReadonlyMap<string, () => TreeNode>;

export interface NamesOptions {
  /** Opened when asked for, and not listed. */
  readonly hidden?: NamedNodes;
  /** Of a mount that can be written: how a directory is made and removed here. */
  readonly make?: (name: string) => Promise<void>;
  readonly remove?: (name: string) => Promise<void>;
}

export class NamesDirectory extends TreeNode {
  readonly #context: TreeContext;
  readonly #names: Fresh<NamedNodes>;
  readonly #options: NamesOptions;

  constructor(ino: Ino, context: TreeContext, names: () => Promise<NamedNodes>, options: NamesOptions = {}) {
    super(ino);
    this.#context = context;
    this.#names = new Fresh(names);
    this.#options = options;
  }

  override attributes(): Attributes {
    const permissions = this.#context.staging === undefined ? undefined : 0o755;
    return directoryAttributes(this.ino, this.#context.owner, this.#context.opened, permissions);
  }

  override async makeDirectory(name: Buffer): Promise<Entry> {
    if (this.#options.make === undefined) throw readOnly();
    try {
      await this.#options.make(name.toString('latin1'));
    } catch (cause) {
      if (codeOf(cause) !== 'BAD_NAME') throw cause;
      throw new FileError('INVALID_ARGUMENT', messageOf(cause), { cause });
    }
    return await this.#changed(name);
  }

  override async removeDirectory(name: Buffer): Promise<void> {
    if (this.#options.remove === undefined) throw readOnly();
    await this.#options.remove(name.toString('latin1'));
    this.#names.expire();
  }

  override async lookup(name: Buffer): Promise<Entry | undefined> {
    const text = name.toString('latin1');
    const node = this.#options.hidden?.get(text) ?? (await this.#names.get()).get(text);
    return node && { attributes: await node().attributes(), ttlMs: freshMs };
  }

  override async openDirectory(): Promise<Directory> {
    const names = [...(await this.#names.get())];
    return listedDirectory(names.map(([name, node]) => ({ name: Buffer.from(name), ino: node().ino, type: S_IFDIR })));
  }

  async #changed(name: Buffer): Promise<Entry> {
    this.#names.expire();
    const entry = await this.lookup(name);
    if (entry === undefined) throw new StoreError('NOT_FOUND', 'what was made is gone again');
    return entry;
  }
}
