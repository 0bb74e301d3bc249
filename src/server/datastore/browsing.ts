/** Snapshots whose content is looked into for a client. Nothing that is encrypted: a server has no keys. */
import type { ArchiveContext } from '../../archive/archive-context.js';
import type { ChunkStream } from '../../archive/chunk-stream.js';
import { DamageLog } from '../../archive/damage.js';
import { PxarTree, type PxarNode } from '../../archive/pxar-tree.js';
import { snapshotContents, type SnapshotContent } from '../../archive/snapshot-contents.js';
import { readSnapshotState, type SnapshotState } from '../../archive/snapshot-state.js';
import { openStream } from '../../archive/stream-opener.js';
import { ChunkCache } from '../../codec/chunk-cache.js';
import { StoreError } from '../../errors.js';
import { catalogFileName } from '../../format/archive-name.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import { printableName } from '../../vfs/name.js';
import type { Call } from '../endpoint.js';
import { Refusal } from '../refusal.js';
import type { ServedStore } from '../server-context.js';

const cacheBytesMax = 64 << 20;
const pathBytesMax = 4096;

/** One cache for all who look into a store, made for the first of them. */
const contexts = new WeakMap<ServedStore, ArchiveContext>();

function contextOf({ context: { log } }: Pick<Call, 'context'>, store: ServedStore): ArchiveContext {
  const known = contexts.get(store);
  if (known !== undefined) return known;
  const { datastore } = store;
  const cache = new ChunkCache({ bytesMax: cacheBytesMax, keys: [], source: datastore.chunks });
  const context: ArchiveContext = { store: datastore, keys: [], cache, damage: new DamageLog((line) => log(`${store.name}: ${line}`)), zstd: loadZstd(), salvage: false };
  contexts.set(store, context);
  return context;
}

export interface Browsed {
  readonly context: ArchiveContext;
  readonly state: SnapshotState;
}

/** NOT_FOUND, UNFINISHED; what is wrong with its manifest. */
export async function browse(call: Pick<Call, 'context'>, store: ServedStore, snapshot: SnapshotName): Promise<Browsed> {
  const context = contextOf(call, store);
  const state = await readSnapshotState(context, snapshot);
  if (state.refusal !== undefined) throw state.refusal;
  if (state.manifest === undefined) throw new StoreError('UNFINISHED', `${snapshotPath(snapshot)} has no manifest: its backup was not finished`);
  return { context, state };
}

export interface OpenArchive {
  readonly tree: PxarTree;
  close(): void;
}

/** A place in an archive, and what clients write before the path inside: the archive's name, unless they name it in a parameter. */
export interface ArchivePlace {
  readonly content: SnapshotContent;
  readonly before: readonly Buffer[];
  readonly inside: readonly Buffer[];
}

/** Undefined: the list of archives. `archiveName` of a catalog counts as none. Format: protocol, sections 8.3 and 16. */
export function placeOf(state: SnapshotState, filepath: string, archiveName: string | undefined): ArchivePlace | undefined {
  const path = pathOf(filepath);
  if (archiveName !== undefined && archiveName !== catalogFileName) return { content: archiveAt(state, archiveName), before: [], inside: path };
  const [first, ...inside] = path;
  return first && { content: archiveAt(state, first.toString('latin1')), before: [first], inside };
}

/** `root.pxar.didx` is also the name of a split archive. */
function archiveAt(state: SnapshotState, name: string): SnapshotContent {
  const archives = archivesIn(state);
  const found = archives.get(name) ?? [...archives.values()].find((content) => `${content.name}.didx` === name);
  if (found === undefined) throw new StoreError('NOT_FOUND', `there is no archive of files '${printableName(Buffer.from(name, 'latin1'))}' in the snapshot`);
  return found;
}

/** The archives of files in a snapshot, by the names of their indexes. */
export function archivesIn({ manifest }: SnapshotState): Map<string, SnapshotContent> {
  const contents = manifest === undefined ? [] : snapshotContents(manifest);
  return new Map(contents.filter(({ kind }) => kind === 'archive').map((content) => [content.files[0].filename, content]));
}

export async function openArchive({ context, state }: Browsed, content: SnapshotContent): Promise<OpenArchive> {
  const streams: ChunkStream[] = [];
  const close = (): void => {
    for (const stream of streams) stream.close();
  };
  try {
    for (const file of content.files) streams.push((await openStream(context, state, file)).stream);
    const [meta, payload] = streams;
    if (meta === undefined) throw new Error('an archive without a file');
    return { tree: await PxarTree.open({ meta, payload }), close };
  } catch (error) {
    close();
    throw error;
  }
}

/** The node that `path` leads to from the root, symbolic links not followed. */
export async function findNode(tree: PxarTree, path: readonly Buffer[]): Promise<PxarNode> {
  let node = await tree.node(tree.root);
  for (const name of path) {
    const child = node.entry.kind === 'directory' ? await tree.lookup(node.id, name) : undefined;
    if (child === undefined) throw new StoreError('NOT_FOUND', `there is no '${printableName(name)}' at this place of the archive`);
    node = child;
  }
  return node;
}

/** The path that a client names in base64, or as `root` or `/`. */
function pathOf(text: string): Buffer[] {
  if (text === 'root' || text === '/') return [];
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length === 0 || bytes.length > pathBytesMax || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw new Refusal(400, "parameter check failed - 'filepath': is no path in base64");
  return bytes
    .toString('latin1')
    .split('/')
    .filter((component) => component !== '')
    .map((component) => Buffer.from(component, 'latin1'));
}

/** Bytes [offset, offset + size) of a stream, as copies; `close` is called at the end. */
export async function* contentBytes({ stream, offset, size }: { stream: ChunkStream; offset: number; size: number }, close: () => void): AsyncGenerator<Buffer> {
  try {
    const end = offset + size;
    for (let at = offset; at < end; ) {
      const window = await stream.window(at, 1);
      const piece = Buffer.from(window.subarray(0, end - at));
      at += piece.length;
      yield piece;
    }
  } finally {
    close();
  }
}
