/** The nodes of a spool by number and by identity. A node lives as long as the kernel knows it, has it open, or reaches others through it. */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import type { FileStat } from '../../os/file-stat.js';
import { systemError } from '../../os/system-calls.js';
import { type Ino, S_IFMT } from '../../vfs/file-system.js';
import { type Location, type SpoolKey, SpoolNode } from './spool-node.js';

/** Files that no node is left of keep their numbers, so that programs see them unchanged; so many, then the oldest get new ones. */
const rememberedNumbersMax = 1 << 20;

export interface SpoolNodesOptions {
  /** What the descriptor of the spool says. */
  readonly root: { readonly fd: number; readonly stat: FileStat };
  readonly allocateIno: () => Ino;
  /** A node is gone. */
  readonly dropped: (node: SpoolNode) => void;
}

export class SpoolNodes {
  readonly root: SpoolNode;
  readonly #options: SpoolNodesOptions;
  readonly #byIno = new Map<Ino, SpoolNode>();
  readonly #byKey = new Map<SpoolKey, SpoolNode>();
  readonly #numbers = new Map<SpoolKey, Ino>();

  constructor(options: SpoolNodesOptions) {
    this.#options = options;
    const { fd, stat } = options.root;
    this.root = this.#add(this.keyOf(stat), stat.mode & S_IFMT);
    this.root.pin = fd;
    this.root.known = true;
    this.root.privileged = (stat.mode & 0o6000) !== 0;
  }

  get size(): number {
    return this.#byIno.size;
  }

  has(ino: Ino): boolean {
    return this.#byIno.has(ino);
  }

  /** ESTALE if there is none. */
  get(ino: Ino): SpoolNode {
    const node = this.#byIno.get(ino);
    if (node === undefined) throw systemError(constants.errno.ESTALE, 'lookup');
    return node;
  }

  keyOf({ dev, ino }: Pick<FileStat, 'dev' | 'ino'>): SpoolKey {
    return dev === this.#options.root.stat.dev && ino <= Number.MAX_SAFE_INTEGER ? Number(ino) : `${dev}/${ino}`;
  }

  find(stat: FileStat): SpoolNode | undefined {
    return this.#byKey.get(this.keyOf(stat));
  }

  /** The node of what was found at `location`, which is made if need be; undefined for what has no name. */
  obtain(stat: FileStat, location: Location | undefined): SpoolNode {
    const key = this.keyOf(stat);
    const node = this.#byKey.get(key) ?? this.#add(key, stat.mode & S_IFMT);
    node.privileged = (stat.mode & 0o6000) !== 0;
    if (location !== undefined) this.locate(node, location);
    return node;
  }

  /** A name was found or made. */
  locate(node: SpoolNode, location: Location): void {
    if (node === this.root) return;
    node.addLocation(location);
    this.#unpin(node);
  }

  /** The number of something in a directory of the spool's own device, which may have no node. */
  numberOf(spoolIno: bigint): Ino {
    const key = this.keyOf({ dev: this.#options.root.stat.dev, ino: spoolIno });
    const known = this.#byKey.get(key)?.ino ?? this.#numbers.get(key);
    if (known !== undefined) return known;
    const ino = this.#options.allocateIno();
    this.#remember(key, ino);
    return ino;
  }

  /** What had this identity is gone; something else may have it next. */
  forgetNumber(stat: FileStat): void {
    this.#numbers.delete(this.keyOf(stat));
  }

  release(node: SpoolNode): void {
    node.opens -= 1;
    this.dropIfUnused(node);
  }

  dropIfUnused(node: SpoolNode): void {
    const unused = [node];
    for (let next = unused.pop(); next !== undefined; next = unused.pop()) {
      if (next === this.root || next.known || next.opens > 0 || next.children > 0 || !this.#byIno.delete(next.ino)) continue;
      this.#byKey.delete(next.key);
      if (next.location !== undefined) this.#remember(next.key, next.ino);
      this.#unpin(next);
      this.#options.dropped(next);
      unused.push(...next.removeAllLocations());
    }
  }

  /** Closes what is pinned; nothing can be reached any more. */
  close(): void {
    for (const node of this.#byIno.values()) this.#unpin(node);
    this.#byIno.clear();
    this.#byKey.clear();
    this.#numbers.clear();
  }

  #add(key: SpoolKey, type: number): SpoolNode {
    const ino = this.#numbers.get(key) ?? this.#options.allocateIno();
    this.#numbers.delete(key);
    const node = new SpoolNode(ino, key, type);
    this.#byIno.set(ino, node);
    this.#byKey.set(key, node);
    return node;
  }

  #remember(key: SpoolKey, ino: Ino): void {
    if (this.#numbers.size >= rememberedNumbersMax) {
      for (const oldest of this.#numbers.keys()) {
        this.#numbers.delete(oldest);
        break;
      }
    }
    this.#numbers.set(key, ino);
  }

  #unpin(node: SpoolNode): void {
    if (node.pin === undefined) return;
    closeSync(node.pin);
    node.pin = undefined;
  }
}
