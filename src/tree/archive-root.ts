/** The directory that a pxar archive is, whether or not it can be opened, and the range of inode numbers of what is in it. */
import { LinkCounts } from '../archive/link-counts.js';
import type { ChunkStream } from '../archive/chunk-stream.js';
import { directoryId, PxarTree } from '../archive/pxar-tree.js';
import { FormatError } from '../errors.js';
import { catalogFileName } from '../format/archive-name.js';
import { snapshotPath } from '../format/snapshot-name.js';
import type { ManifestFile } from '../format/manifest.js';
import type { Entry, Ino, MaybePromise, Timestamp } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import { archiveXattrs, streamXattrs } from './archive-facts.js';
import type { TreeContext } from './context.js';
import { directoryAttributes, freshMs, type Xattrs } from './node.js';
import { PxarArchive } from './pxar-archive.js';
import { contentKey, type SnapshotState } from '../archive/snapshot-state.js';
import { openStream } from '../archive/stream-opener.js';

export interface ArchiveSource {
  /** Names the archive and its content. */
  readonly key: string;
  readonly state: SnapshotState;
  /** The archive, or metadata and payload of a split one. */
  readonly files: readonly ManifestFile[];
  readonly time: Timestamp;
}

export class ArchiveRoot {
  /** Added to the numbers of the archive's nodes. */
  readonly base: Ino;
  /** First number that is not one of them. */
  readonly end: Ino;
  /** Of the directory itself. */
  readonly ino: Ino;
  readonly #context: TreeContext;
  readonly #source: ArchiveSource;

  constructor(context: TreeContext, source: ArchiveSource, base: Ino, end: Ino) {
    this.#context = context;
    this.#source = source;
    this.base = base;
    this.end = end;
    this.ino = base + directoryId(source.files[0]?.size ?? 0);
  }

  archive(): MaybePromise<PxarArchive> {
    return this.#context.archives.take(this.#source.key, () => this.#open());
  }

  /** What `use` makes of the archive. Damage of its structure is told once; that of chunks is told where they are read. */
  use<T>(use: (archive: PxarArchive) => MaybePromise<T>): MaybePromise<T> {
    try {
      const value = andThen(this.archive(), use);
      if (!(value instanceof Promise)) return value;
      return value.catch((error: unknown) => {
        this.#report(error);
        throw error;
      });
    } catch (error) {
      this.#report(error);
      throw error;
    }
  }

  /** An archive that can't be opened is a directory all the same; opening that tells why. */
  async entry(): Promise<Entry> {
    try {
      const entry = await this.use((archive) => archive.getattr(this.ino));
      return { ...entry, ttlMs: freshMs };
    } catch {
      return { attributes: directoryAttributes(this.ino, this.#context.owner, this.#source.time, 0o500), ttlMs: freshMs };
    }
  }

  async xattrs(): Promise<Xattrs> {
    const { files, state } = this.#source;
    const facts = archiveXattrs({ files, fingerprint: state.manifest?.unprotected.keyFingerprint });
    try {
      const archive = await this.archive();
      return new Map([...facts, ...streamXattrs(this.#context, archive.streams), ...(await archive.xattrs(this.ino))]);
    } catch {
      return facts;
    }
  }

  async #open(): Promise<PxarArchive> {
    const { files, state } = this.#source;
    const streams = await Promise.all(files.map((file) => openStream(this.#context, state, file)));
    const [meta, payload] = streams;
    if (meta === undefined) throw new Error('an archive has at least one stream');
    try {
      const options = { end: files[0]?.size ?? 0, salvage: this.#context.salvage };
      const tree = await PxarTree.open({ meta: meta.stream, payload: payload?.stream }, options);
      const links = new LinkCounts(tree, files[0]?.filename ?? '', () => this.#openCatalog());
      return new PxarArchive(tree, streams, links, { source: this.#source, base: this.base, report: (error) => this.#report(error) });
    } catch (error) {
      for (const { stream } of streams) stream.close();
      throw error;
    }
  }

  #report(error: unknown): void {
    if (!(error instanceof FormatError)) return;
    this.#context.damage.reportOnce(`${snapshotPath(this.#source.state.snapshot)}/${this.#source.files[0]?.filename ?? ''}: ${error.message}`);
  }

  async #openCatalog(): Promise<ChunkStream | undefined> {
    const { state } = this.#source;
    const file = state.manifest?.files.find(({ filename }) => filename === catalogFileName);
    if (file === undefined) return undefined;
    const key = contentKey(state, file.filename, file.csum);
    return (await this.#context.archives.take(key, () => openStream(this.#context, state, file))).stream;
  }
}

/** The root for `source`, always the same one for the same content at the same place. */
export function archiveRoot(context: TreeContext, source: ArchiveSource): ArchiveRoot {
  const size = source.files[0]?.size ?? 0;
  return context.archives.root(source.key, size, (base, end) => new ArchiveRoot(context, source, base, end));
}
