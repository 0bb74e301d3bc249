/** `X.img.parts`: the partitions of a disk image, each as a file of its own over the same chunks. */
import { readPartitions, type Partition } from '../archive/partitions/partition.js';
import type { Attributes, Directory, Entry, Ino } from '../vfs/file-system.js';
import { S_IFREG } from '../vfs/file-system.js';
import type { TreeContext } from './context.js';
import { directoryAttributes, freshMs, listedDirectory, TreeNode } from './node.js';
import { StreamFile, type StreamSource } from './stream-file.js';

export class PartitionsDirectory extends TreeNode {
  readonly #context: TreeContext;
  readonly #key: string;
  readonly #source: StreamSource;
  #partitions: readonly Partition[] | undefined;

  constructor(ino: Ino, context: TreeContext, key: string, source: StreamSource) {
    super(ino);
    this.#context = context;
    this.#key = key;
    this.#source = source;
  }

  override attributes(): Attributes {
    return directoryAttributes(this.ino, this.#context.owner, this.#source.time);
  }

  override async lookup(name: Buffer): Promise<Entry | undefined> {
    const wanted = name.toString('latin1');
    const partition = (await this.#read()).find(({ number }) => nameOf(number) === wanted);
    if (partition === undefined) return undefined;
    return { attributes: await this.#file(partition).attributes(), ttlMs: freshMs };
  }

  override async openDirectory(): Promise<Directory> {
    const partitions = await this.#read();
    const entries = partitions.map((partition) => ({
      name: Buffer.from(nameOf(partition.number)),
      ino: this.#file(partition).ino,
      type: S_IFREG,
    }));
    return listedDirectory(entries);
  }

  async #read(): Promise<readonly Partition[]> {
    return (this.#partitions ??= await readPartitions((await this.#source.take()).stream));
  }

  #file(partition: Partition): StreamFile {
    const key = `${this.#key}/${partition.number}`;
    return this.#context.nodes.node(key, (ino) => new StreamFile(ino, this.#context, this.#source, partition));
  }
}

function nameOf(number: number): string {
  return `p${number}`;
}
