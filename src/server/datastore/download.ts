/** GET `download` and `download-decoded`: files of a snapshot, as they are stored and as what they stand for. Format: protocol, section 8.1. */
import { Readable } from 'node:stream';
import { join } from 'node:path';
import { openBlob } from '../../archive/blob-opener.js';
import { openStream } from '../../archive/stream-opener.js';
import { StoreError } from '../../errors.js';
import { archiveKind, clientLogFileName, logicalName, manifestFileName } from '../../format/archive-name.js';
import { chunkBytesMax } from '../../format/blob.js';
import { indexBytesMax } from '../../format/chunk-index.js';
import { isSafeId } from '../../format/safe-id.js';
import { snapshotPath } from '../../format/snapshot-name.js';
import { endpoint, type Answer } from '../endpoint.js';
import { openStoredFile, streamOf } from '../sessions/snapshot-file.js';
import { browse, contentBytes, type Browsed } from './browsing.js';
import { snapshotOf, snapshotParameters } from './parameters.js';
import { allow, storeOf } from './permissions.js';

const reading = { full: ['Read'], limited: ['Backup'] } as const;
const nameParameter = { 'file-name': { kind: 'string', check: (name: string) => (isSafeId(name) ? undefined : 'is no name of a file in a snapshot') } } as const;

export const downloadEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/download',
  queryOnly: true,
  parameters: { ...snapshotParameters, ...nameParameter },
  run: async (call) => {
    const [store, snapshot, name] = [storeOf(call), snapshotOf(call.parameters), call.parameters['file-name']];
    await allow(call.caller, store, snapshot, reading);
    if (archiveKind(name) === undefined) throw new StoreError('NOT_FOUND', `${name} is no name of an index or a blob`);
    const file = await openStoredFile(join(store.path, snapshotPath(snapshot), name), indexBytesMax);
    return { stream: streamOf(file) };
  },
});

export const downloadDecodedEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/download-decoded',
  queryOnly: true,
  parameters: { ...snapshotParameters, ...nameParameter },
  run: async (call) => {
    const [store, snapshot] = [storeOf(call), snapshotOf(call.parameters)];
    await allow(call.caller, store, snapshot, reading);
    return await decoded(await browse(call, store, snapshot), call.parameters['file-name']);
  },
});

/** By the name of the file, or that without its last extension. */
async function decoded({ context, state }: Browsed, name: string): Promise<Answer> {
  const listed = state.manifest?.files.find(({ filename }) => filename === name || logicalName(filename) === name);
  const unlisted = [manifestFileName, clientLogFileName].find((fileName) => fileName === name || logicalName(fileName) === name);
  const fileName = listed?.filename ?? unlisted;
  if (fileName === undefined) throw new StoreError('NOT_FOUND', `there is no file ${name} in ${snapshotPath(state.snapshot)}`);
  // Many may be on their way at once.
  if (listed === undefined || archiveKind(fileName) === 'blob') return { bytes: (await openBlob(context, state, fileName, listed, chunkBytesMax)).content };
  const { stream } = await openStream(context, state, listed);
  const content = contentBytes({ stream, offset: 0, size: stream.size }, () => {
    stream.close();
  });
  return { stream: Readable.from(content, { objectMode: false, highWaterMark: 1 }) };
}
