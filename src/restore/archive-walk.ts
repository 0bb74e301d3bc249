/** Opens the streams of an archive for one walk from front to back. */
import type { ArchiveContext } from '../archive/archive-context.js';
import type { ChunkStream } from '../archive/chunk-stream.js';
import { entryId, PxarTree, type PxarContentRange, type PxarNode } from '../archive/pxar-tree.js';
import type { SnapshotContent } from '../archive/snapshot-contents.js';
import type { SnapshotState } from '../archive/snapshot-state.js';
import { openStream } from '../archive/stream-opener.js';
import { scanStream } from '../archive/stream-scan.js';
import { FormatError } from '../errors.js';
import { PxarScanner, type ScanEvent, type ScannedEntry } from '../format/pxar/scanner.js';
import type { MaybePromise } from '../vfs/file-system.js';

export interface ArchiveSource {
  readonly context: ArchiveContext;
  readonly state: SnapshotState;
  readonly content: SnapshotContent;
}

export class ArchiveWalk {
  readonly #tree: PxarTree;
  readonly #meta: ChunkStream;
  #position = 0;
  #payloadPosition = 0;

  constructor(tree: PxarTree) {
    this.#tree = tree;
    this.#meta = tree.streams.meta;
  }

  /** Of all streams together. */
  get bytesTotal(): number {
    return this.#meta.size + (this.#tree.streams.payload?.size ?? 0);
  }

  /** How far the walk has come in them. */
  get bytes(): number {
    return this.#position + this.#payloadPosition;
  }

  /** Every entry and end of a directory. Throws damage of the archive, also of what follows its root. */
  async run(use: (event: ScanEvent) => MaybePromise<void>): Promise<void> {
    const scanner = new PxarScanner();
    await scanStream(this.#meta, scanner, (event) => {
      if (event.type !== 'preamble') this.#position = event.endPosition;
      return use(event);
    });
    if (scanner.position !== this.#meta.size) {
      throw new FormatError('BAD_STRUCTURE', `${this.#meta.path} goes on behind the end of its root directory`);
    }
    this.#payloadPosition = this.#tree.streams.payload?.size ?? 0;
  }

  /** Where the content of a file is. */
  contentOf(event: ScannedEntry): MaybePromise<PxarContentRange> {
    const { entry, namePosition, endPosition } = event;
    const inlineBytes = entry.content?.where === 'inline' ? entry.content.size : 0;
    return this.contentOfNode({ id: entryId(namePosition), entry, dataPosition: endPosition - inlineBytes });
  }

  contentOfNode(node: PxarNode): MaybePromise<PxarContentRange> {
    const { content } = node.entry;
    if (content?.where === 'payload') this.#payloadPosition = Math.max(this.#payloadPosition, content.offset + content.size);
    return this.#tree.content(node);
  }

  /** The file that a hard link points at. BAD_STRUCTURE if it is none. */
  async linkTarget(event: ScannedEntry): Promise<PxarNode> {
    const position = linkPosition(event);
    const node = await this.#tree.node(entryId(position));
    if (node.entry.kind !== 'file') throw new FormatError('BAD_STRUCTURE', `a hard link in ${this.#meta.path} points at a ${node.entry.kind}`);
    return node;
  }
}

/** Position of the FILENAME of a hard link's target. */
export function linkPosition({ namePosition, entry }: ScannedEntry): number {
  return namePosition - (entry.hardlink?.distance ?? 0);
}

/** Opens the archive, whose indexes are compared with the manifest, and closes it when `use` is done. */
export async function withArchive<T>({ context, state, content }: ArchiveSource, use: (walk: ArchiveWalk) => Promise<T>): Promise<T> {
  const [metaFile, payloadFile] = content.files;
  const streams: ChunkStream[] = [];
  const open = async (file: typeof metaFile): Promise<ChunkStream> => {
    const { stream } = await openStream(context, state, file);
    streams.push(stream);
    return stream;
  };
  try {
    const meta = await open(metaFile);
    const payload = payloadFile === undefined ? undefined : await open(payloadFile);
    return await use(new ArchiveWalk(await PxarTree.open({ meta, payload })));
  } finally {
    for (const stream of streams) stream.close();
  }
}
