/** What all nodes of one tree share. */
import type { ArchiveContext } from '../archive/archive-context.js';
import type { Ino, Timestamp } from '../vfs/file-system.js';
import type { ArchiveShelf } from './archive-shelf.js';
import type { NodeOwner, TreeNode } from './node.js';
import type { Staging } from './staging/staging.js';

export interface TreeContext extends ArchiveContext {
  readonly owner: NodeOwner;
  /** When the tree was opened: the time of what has none of its own. */
  readonly opened: Timestamp;
  readonly nodes: NodeRegistry;
  readonly archives: ArchiveShelf;
  /** Of a mount that can be written. */
  staging: Staging | undefined;
  readonly log: (line: string) => void;
}

/**
 * Nodes by what they are, so that a thing has one inode number for as long as the tree lives. A key names content, not only
 * a place: a snapshot that was removed and made again is another thing.
 */
export class NodeRegistry {
  readonly #byKey = new Map<string, TreeNode>();
  readonly #byIno = new Map<Ino, TreeNode>();
  #next: Ino = 1;

  node<T extends TreeNode>(key: string, create: (ino: Ino) => T): T {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known as T;
    const node = create(this.#next++);
    this.#byKey.set(key, node);
    this.#byIno.set(node.ino, node);
    return node;
  }

  /** A number for something that is no node of this registry. */
  allocate(): Ino {
    return this.#next++;
  }

  withKey(key: string): TreeNode | undefined {
    return this.#byKey.get(key);
  }

  get(ino: Ino): TreeNode | undefined {
    return this.#byIno.get(ino);
  }
}
