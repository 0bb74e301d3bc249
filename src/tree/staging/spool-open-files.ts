/** The files of a spool that are open. */
import { closeSync } from 'node:fs';
import { FileError, codeOf } from '../../errors.js';
import { openFlags } from '../../os/open-flags.js';
import { type MaybePromise, S_IFDIR, S_IFREG } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import type { OpenOptions } from '../../vfs/writable-file-system.js';
import type { SpoolClones } from './spool-clones.js';
import type { SpoolCore } from './spool-core.js';
import { SpoolReader, SpoolWriter, dropPrivileges } from './spool-file.js';
import type { SpoolNode } from './spool-node.js';

const { O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = openFlags;

export class SpoolOpenFiles {
  readonly #core: SpoolCore;
  readonly #clones: SpoolClones;
  readonly #open = new Map<SpoolNode, Set<SpoolReader>>();
  #files = 0;
  #writers = 0;

  constructor(core: SpoolCore, clones: SpoolClones) {
    this.#core = core;
    this.#clones = clones;
  }

  get files(): number {
    return this.#files;
  }

  get writers(): number {
    return this.#writers;
  }

  read(node: SpoolNode): SpoolReader {
    checkRegular(node);
    this.#clones.of(node);
    return this.#add(new SpoolReader(node, this.#core.open(node, O_RDONLY), this.#clones, this.#remove));
  }

  write(node: SpoolNode, options: OpenOptions): MaybePromise<SpoolWriter> {
    checkRegular(node);
    return andThen(options.truncate ? this.#clones.settled(node) : undefined, () => this.#write(node, options));
  }

  /** The writer on a descriptor that was just made. */
  adopt(node: SpoolNode, fd: number): SpoolWriter {
    // Known by now if it could be one.
    node.clone ??= null;
    return this.#add(new SpoolWriter(node, fd, this.#clones, this.#remove));
  }

  /** A file that is open to be written, else one that is open to be read. */
  find(node: SpoolNode): SpoolReader | undefined {
    const files = [...(this.#open.get(node) ?? [])];
    return files.find((file) => file instanceof SpoolWriter) ?? files[0];
  }

  closeAll(): void {
    for (const file of [...this.#open.values()].flatMap((files) => [...files])) file.close();
  }

  #write(node: SpoolNode, { truncate, killPrivileges }: OpenOptions): SpoolWriter {
    this.#core.begin(node.ino);
    this.#clones.of(node);
    const fd = this.#openToWrite(node, truncate ? O_TRUNC : 0);
    try {
      if (truncate) this.#clones.emptied(node);
      if (truncate && killPrivileges && node.privileged) dropPrivileges(node, fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return this.adopt(node, fd);
  }

  /** The daemon may not read all that its user may write. */
  #openToWrite(node: SpoolNode, flags: number): number {
    try {
      return this.#core.open(node, O_RDWR | flags);
    } catch (error) {
      if (codeOf(error) !== 'EACCES') throw error;
      return this.#core.open(node, O_WRONLY | flags);
    }
  }

  #add<File extends SpoolReader>(file: File): File {
    const { node } = file;
    const files = this.#open.get(node);
    if (files === undefined) this.#open.set(node, new Set([file]));
    else files.add(file);
    node.opens += 1;
    this.#files += 1;
    if (file instanceof SpoolWriter) this.#writers += 1;
    return file;
  }

  readonly #remove = (file: SpoolReader): void => {
    const { node } = file;
    const files = this.#open.get(node);
    if (files?.delete(file) !== true) return;
    if (files.size === 0) this.#open.delete(node);
    this.#files -= 1;
    if (file instanceof SpoolWriter) this.#writers -= 1;
    this.#core.nodes.release(node);
  };
}

/** What is opened otherwise would wait for a fifo, or start a device. */
function checkRegular({ type }: SpoolNode): void {
  if (type === S_IFDIR) throw new FileError('IS_A_DIRECTORY', 'a directory is no file to be opened');
  if (type !== S_IFREG) throw new FileError('INVALID_ARGUMENT', 'only regular files are opened here');
}
