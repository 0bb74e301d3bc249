/** GET `catalog` and `pxar-file-download`: what is in the archives of a snapshot. Format: protocol, sections 8.1 to 8.3. */
import { PassThrough, Readable } from 'node:stream';
import type { PxarChild, PxarNode, PxarTree } from '../../archive/pxar-tree.js';
import { FileError, StoreError, messageOf } from '../../errors.js';
import type { JsonObject } from '../../format/json.js';
import { parsePattern } from '../../format/match-pattern.js';
import { fileTypeMask, fileTypes, type PxarKind } from '../../format/pxar/entry.js';
import { writeTar } from '../../restore/tar-writer.js';
import { drained } from '../drained.js';
import { endpoint, type Answer, type Call, type ParameterSpecs } from '../endpoint.js';
import { Refusal } from '../refusal.js';
import { archivesIn, browse, contentBytes, findNode, openArchive, placeOf, type ArchivePlace, type Browsed } from './browsing.js';
import { snapshotOf, snapshotParameters } from './parameters.js';
import { allow, storeOf } from './permissions.js';
import { zstdFrames } from './zstd-frames.js';

const reading = { full: ['Read'], limited: ['Backup'] } as const;
const entriesMax = 200_000;
const placeParameters = { ...snapshotParameters, filepath: { kind: 'string' }, 'archive-name': { kind: 'string', optional: true } } as const satisfies ParameterSpecs;
const letters: Readonly<Record<Exclude<PxarKind, 'device'>, string>> = { directory: 'd', file: 'f', symlink: 'l', hardlink: 'h', fifo: 'p', socket: 's' };

export const catalogEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/catalog',
  parameters: placeParameters,
  run: async (call) => {
    const { browsed, place } = await lookUp(call);
    if (place === undefined) return { data: [...archivesIn(browsed.state).keys()].map((name) => directoryItem(Buffer.alloc(0), Buffer.from(name))) };
    const archive = await openArchive(browsed, place.content);
    try {
      return { data: await list(archive.tree, place) };
    } finally {
      archive.close();
    }
  },
});

export const archiveFileEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/pxar-file-download',
  queryOnly: true,
  parameters: { ...placeParameters, tar: { kind: 'boolean', optional: true } },
  run: async (call) => {
    const { browsed, place } = await lookUp(call);
    if (place === undefined) throw new Refusal(400, "parameter check failed - 'filepath': names no archive");
    const archive = await openArchive(browsed, place.content);
    let isHandedOver = false;
    try {
      const node = await findNode(archive.tree, place.inside);
      if (node.entry.kind === 'directory') {
        if (call.parameters.tar !== true) throw new Refusal(501, 'directories are not packed as zip here: ask for a tar (tar=true)');
        return tarOf(call, browsed, place);
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

async function lookUp(call: Call<typeof placeParameters>): Promise<{ browsed: Browsed; place: ArchivePlace | undefined }> {
  const [store, snapshot, { filepath, 'archive-name': name }] = [storeOf(call), snapshotOf(call.parameters), call.parameters];
  await allow(call.caller, store, snapshot, reading);
  const browsed = await browse(call, store, snapshot);
  return { browsed, place: placeOf(browsed.state, filepath, name) };
}

async function list(tree: PxarTree, { before, inside }: ArchivePlace): Promise<JsonObject[]> {
  const directory = await tree.directory((await findNode(tree, inside)).id);
  if (directory.count > entriesMax) throw new FileError('TOO_LARGE', `the directory has ${directory.count} entries, more than the ${entriesMax} that are listed here`);
  const parent = Buffer.concat([...before, ...inside].flatMap((name, at) => (at === 0 ? [name] : [Buffer.from('/'), name])));
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
function tarOf(call: Pick<Call, 'context' | 'signal'>, { context, state }: Browsed, { content, inside: path }: ArchivePlace): Answer {
  const { signal, context: server } = call;
  const out = new PassThrough();
  const compress = zstdFrames(context.zstd);
  const write = async (bytes: Buffer): Promise<void> => {
    if (out.destroyed) throw new StoreError('INTERRUPTED', 'the client is gone');
    if (!out.write(await compress(bytes))) await drained(out);
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
