/** A snapshot: its manifest, its blobs decoded, its images as files with their partitions beside them, its archives as trees. */
import { clientLogFileName, logicalName, manifestFileName } from '../format/archive-name.js';
import { snapshotContents, type SnapshotContent } from '../archive/snapshot-contents.js';
import type { ManifestFile } from '../format/manifest.js';
import { snapshotPath, type SnapshotName } from '../format/snapshot-name.js';
import type { Attributes, Directory, DirectoryEntry, Entry, Ino, Timestamp } from '../vfs/file-system.js';
import { S_IFDIR, S_IFREG } from '../vfs/file-system.js';
import { snapshotXattrs } from './archive-facts.js';
import { archiveRoot, ArchiveRoot } from './archive-root.js';
import { BlobFile } from './blob-file.js';
import { BytesFile } from './bytes-file.js';
import type { TreeContext } from './context.js';
import { Fresh } from './fresh.js';
import { directoryAttributes, freshMs, listedDirectory, TreeNode, type Xattrs } from './node.js';
import { PartitionsDirectory } from './partitions-directory.js';
import { contentKey, readSnapshotState, type SnapshotState } from '../archive/snapshot-state.js';
import { StreamFile, type StreamSource } from './stream-file.js';
import { openStream } from '../archive/stream-opener.js';

/** What a name in a snapshot stands for. Its node is made when somebody asks for it. */
interface Shown {
  readonly name: string;
  readonly type: number;
  readonly node: () => TreeNode | ArchiveRoot;
}

interface SnapshotListing {
  readonly state: SnapshotState;
  readonly shown: ReadonlyMap<string, Shown>;
}

export class SnapshotDirectory extends TreeNode {
  readonly #context: TreeContext;
  readonly #snapshot: SnapshotName;
  readonly #time: Timestamp;
  readonly #listing: Fresh<SnapshotListing>;

  constructor(ino: Ino, context: TreeContext, snapshot: SnapshotName) {
    super(ino);
    this.#context = context;
    this.#snapshot = snapshot;
    this.#time = { sec: snapshot.time, nsec: 0 };
    this.#listing = new Fresh((before) => this.#read(before));
  }

  override attributes(): Attributes {
    return directoryAttributes(this.ino, this.#context.owner, this.#time);
  }

  override async lookup(name: Buffer): Promise<Entry | undefined> {
    const { shown } = await this.#listing.get();
    const node = shown.get(name.toString('latin1'))?.node();
    if (node === undefined) return undefined;
    if (node instanceof ArchiveRoot) return node.entry();
    return { attributes: await node.attributes(), ttlMs: freshMs };
  }

  /** Without attributes: those of images and archives may need chunks, which a mere listing does not ask for. */
  override async openDirectory(): Promise<Directory> {
    const { shown, state } = await this.#listing.get();
    if (state.refusal !== undefined && state.manifest === undefined) throw state.refusal;
    const entries = [...shown.values()].map(({ name, type, node }): DirectoryEntry => ({ name: Buffer.from(name), type, ino: node().ino }));
    return listedDirectory(entries);
  }

  override async xattrs(): Promise<Xattrs> {
    const [{ state }, { owner }] = await Promise.all([this.#listing.get(), this.#context.store.groupFacts(this.#snapshot)]);
    return snapshotXattrs(state, owner);
  }

  async #read(before: SnapshotListing | undefined): Promise<SnapshotListing> {
    const state = await readSnapshotState(this.#context, this.#snapshot, before?.state);
    if (before !== undefined && state === before.state) return before;
    const shown = [...this.#manifestShown(state), ...this.#filesShown(state)];
    return { state, shown: new Map(shown.map((each) => [each.name, each])) };
  }

  *#manifestShown(state: SnapshotState): Generator<Shown> {
    if (state.manifest === undefined) return;
    const name = logicalName(manifestFileName);
    const version = `${snapshotPath(state.snapshot)}/${state.facts.version}`;
    const node = (): TreeNode =>
      this.#context.nodes.node(`${version}/${name}`, (ino) => new BytesFile(ino, this.#context.owner, this.#time, state.manifestJson));
    yield { name, type: S_IFREG, node };
  }

  *#filesShown(state: SnapshotState): Generator<Shown> {
    const stored = new Map(state.facts.files.map((file) => [file.name, file.size]));
    for (const content of state.manifest === undefined ? [] : snapshotContents(state.manifest)) {
      for (const { filename } of content.files) {
        if (stored.has(filename)) continue;
        this.#context.damage.reportOnce(`${snapshotPath(state.snapshot)}: ${filename} is in the manifest but not in the store`);
      }
      const { filename } = content.files[0];
      if (stored.has(filename)) yield* this.#contentShown(state, content, stored.get(filename));
    }
    if (stored.has(clientLogFileName)) yield this.#blobShown(state, clientLogFileName, stored.get(clientLogFileName), undefined);
  }

  #blobShown(state: SnapshotState, fileName: string, storedBytes: number | undefined, listed: ManifestFile | undefined): Shown {
    const source = { state, fileName, storedBytes, listed, time: this.#time };
    const key = contentKey(state, fileName, listed?.csum ?? state.facts.version);
    return { name: logicalName(fileName), type: S_IFREG, node: () => this.#context.nodes.node(key, (ino) => new BlobFile(ino, this.#context, source)) };
  }

  *#contentShown(state: SnapshotState, content: SnapshotContent, storedBytes: number | undefined): Generator<Shown> {
    const { name, kind, files } = content;
    const [file] = files;
    if (kind === 'blob') yield this.#blobShown(state, file.filename, storedBytes, file);
    else if (kind === 'archive') yield this.#archiveShown(state, content);
    else yield this.#streamShown(state, file, name);
    if (kind === 'image') yield this.#partitionsShown(state, file, name);
  }

  #archiveShown(state: SnapshotState, { name, files }: SnapshotContent): Shown {
    const key = contentKey(state, logicalName(files[0].filename), files.map(({ csum }) => csum).join());
    const node = (): ArchiveRoot => archiveRoot(this.#context, { key, state, files, time: this.#time });
    return { name, type: S_IFDIR, node };
  }

  #streamShown(state: SnapshotState, file: ManifestFile, name: string): Shown {
    const source = this.#sourceOf(state, file);
    const create = (ino: Ino): TreeNode => new StreamFile(ino, this.#context, source);
    return { name, type: S_IFREG, node: () => this.#context.nodes.node(contentKey(state, name, file.csum), create) };
  }

  #partitionsShown(state: SnapshotState, file: ManifestFile, name: string): Shown {
    const source = this.#sourceOf(state, file);
    const key = contentKey(state, `${name}.parts`, file.csum);
    const create = (ino: Ino): TreeNode => new PartitionsDirectory(ino, this.#context, key, source);
    return { name: `${name}.parts`, type: S_IFDIR, node: () => this.#context.nodes.node(key, create) };
  }

  #sourceOf(state: SnapshotState, file: ManifestFile): StreamSource {
    const key = contentKey(state, file.filename, file.csum);
    return {
      take: () => this.#context.archives.take(key, () => openStream(this.#context, state, file)),
      time: this.#time,
      facts: { files: [file], fingerprint: state.manifest?.unprotected.keyFingerprint },
    };
  }
}
