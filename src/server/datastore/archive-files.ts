/** GET `catalog` and `pxar-file-download`: what is in the archives of a snapshot. Format: protocol, sections 8.1 to 8.3. */
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import type { PxarChild, PxarNode, PxarTree } from '../../archive/pxar-tree.js';
import type { SnapshotContent } from '../../archive/snapshot-contents.js';
import { FileError, StoreError, messageOf } from '../../errors.js';
import type { JsonObject } from '../../format/json.js';
import { parsePattern } from '../../format/match-pattern.js';
import { fileTypeMask, fileTypes, type PxarKind } from '../../format/pxar/entry.js';
import { writeTar } from '../../restore/tar-writer.js';
import { endpoint, type Answer, type Call } from '../endpoint.js';
import { Refusal } from '../refusal.js';
import { archivesIn, browse, contentBytes, findNode, openArchive, pathOf, type Browsed } from './browsing.js';
import { snapshotOf, snapshotParameters } from './parameters.js';
import { allow, storeOf } from './permissions.js';
import { zstdFrames } from './zstd-frames.js';

const reading = { full: ['Read'], limited: ['Backup'] } as const;
const entriesMax = 200_000;
const letters: Readonly<Record<Exclude<PxarKind, 'device'>, string>> = { directory: 'd', file: 'f', symlink: 'l', hardlink: 'h', fifo: 'p', socket: 's' };

export const catalogEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/catalog',
  parameters: { ...snapshotParameters, filepath: { kind: 'string' } },
  run: async (call) => {
    const [store, snapshot, path] = [storeOf(call), snapshotOf(call.parameters), pathOf(call.parameters.filepath)];
    await allow(call.caller, store, snapshot, reading);
    const browsed = await browse(call, store, snapshot);
    if (path.length === 0) return { data: [...archivesIn(browsed.state).keys()].map((name) => directoryItem(Buffer.alloc(0), Buffer.from(name))) };
    const archive = await openArchive(browsed, contentAt(browsed, path));
    try {
      return { data: await list(archive.tree, path) };
    } finally {
      archive.close();
    }
  },
});

export const archiveFileEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/pxar-file-download',
  parameters: { ...snapshotParameters, filepath: { kind: 'string' }, tar: { kind: 'boolean', optional: true } },
  run: async (call) => {
    const [store, snapshot, path] = [storeOf(call), snapshotOf(call.parameters), pathOf(call.parameters.filepath)];
    await allow(call.caller, store, snapshot, reading);
    const browsed = await browse(call, store, snapshot);
    const content = contentAt(browsed, path);
    const archive = await openArchive(browsed, content);
    let isHandedOver = false;
    try {
      const node = await findNode(archive.tree, path.slice(1));
      if (node.entry.kind === 'directory') {
        if (call.parameters.tar !== true) throw new Refusal(501, 'directories are not packed as zip here: ask for a tar (tar=true)');
        return tarOf(call, browsed, content, path.slice(1));
      }
      if (node.entry.kind !== 'file') throw new FileError('INVALID_ARGUMENT', 'only files and directories can be downloaded');
      const range = await archive.tree.content(node);
      isHandedOver = true;
      return { stream: Readable.from(contentBytes(range, () => archive.close()), { objectMode: false, highWaterMark: 1 }), length: range.size };
    } finally {
      if (!isHandedOver) archive.close();
    }
  },
});

function contentAt({ state }: Browsed, [archive = Buffer.alloc(0)]: readonly Buffer[]): SnapshotContent {
  const found = archivesIn(state).get(archive.toString('latin1'));
  if (found === undefined) throw new StoreError('NOT_FOUND', 'there is no archive of files with this name in the snapshot');
  return found;
}

async function list(tree: PxarTree, path: readonly Buffer[]): Promise<JsonObject[]> {
  const directory = await tree.directory((await findNode(tree, path.slice(1))).id);
  if (directory.count > entriesMax) throw new FileError('TOO_LARGE', `the directory has ${directory.count} entries, more than the ${entriesMax} that are listed here`);
  const parent = Buffer.concat(path.flatMap((name, at) => (at === 0 ? [name] : [Buffer.from('/'), name])));
  const items: JsonObject[] = [];
  for (let i = 0; i < directory.count; i++) items.push(childItem(parent, await tree.child(directory, directory.slotAt(i))));
  return items;
}

function childItem(parent: Buffer, child: PxarChild): JsonObject {
  const { kind, content, metadata } = child.entry;
  if (kind === 'directory') return directoryItem(parent, child.name);
  const isFile = kind === 'file' && !child.linked;
  const facts = isFile && { size: content?.size ?? 0, mtime: metadata?.mtime.sec ?? 0 };
  return { filepath: pathText(parent, child.name), text: child.name.toString(), type: child.linked ? 'h' : letterOf(child), leaf: true, ...facts };
}

function letterOf({ entry: { kind, metadata } }: PxarNode): string {
  if (kind !== 'device') return letters[kind];
  return ((metadata?.mode ?? 0) & fileTypeMask) === fileTypes.blockDevice ? 'b' : 'c';
}

function directoryItem(parent: Buffer, name: Buffer): JsonObject {
  return { filepath: pathText(parent, name), text: name.toString(), type: 'd', leaf: false };
}

/** `parent` has no slash in front. */
function pathText(parent: Buffer, name: Buffer): string {
  return Buffer.concat([parent, Buffer.from('/'), name]).toString('base64');
}

/** What is below `path` of an archive. It breaks off where the archive is damaged; the client sees that the stream is not whole. */
function tarOf(call: Pick<Call, 'context' | 'signal'>, { context, state }: Browsed, content: SnapshotContent, path: readonly Buffer[]): Answer {
  const { signal, context: server } = call;
  const out = new PassThrough();
  const compress = zstdFrames(context.zstd);
  const write = async (bytes: Buffer): Promise<void> => {
    if (out.destroyed) throw new StoreError('INTERRUPTED', 'the client is gone');
    if (!out.write(await compress(bytes))) await Promise.race([once(out, 'drain'), once(out, 'close')]);
  };
  const failed = (line: string): void => {
    server.log(`${content.name}: ${line}`);
  };
  const observer = { progress: () => undefined, warn: failed, failed };
  const patterns = path.length === 0 ? [] : [parsePattern(patternOf(path), 'include')];
  writeTar({ context, state, content, patterns, write, observer, signal }).then(
    () => out.end(),
    (error: unknown) => out.destroy(error instanceof Error ? error : new Error(messageOf(error))),
  );
  return { stream: out };
}

/** Fits this path and no other. */
function patternOf(path: readonly Buffer[]): Buffer {
  const escaped = path.map((name) => name.toString('latin1').replace(/[\\*?[\]{}!]/g, '\\$&'));
  return Buffer.from(`/${escaped.join('/')}`, 'latin1');
}
