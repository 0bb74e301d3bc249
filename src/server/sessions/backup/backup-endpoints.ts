/** What a client may ask for in a backup session. Format: protocol, section 10.2. */
import { chunkBytesMax, encodedChunkBytesMax, plainHeaderBytes } from '../../../format/blob.js';
import type { SnapshotName } from '../../../format/snapshot-name.js';
import type { Answer } from '../../endpoint.js';
import { parameterBytesMax } from '../../parameters.js';
import { Refusal } from '../../refusal.js';
import type { ServedStore } from '../../server-context.js';
import { sessionEndpoint, type SessionEndpoint } from '../session-endpoint.js';
import { fileOf } from '../snapshot-file.js';
import { digestFault, fileNameCheck } from '../snapshot-parameters.js';
import { imageBytesMax } from './fixed-writer.js';
import type { IndexWriter } from './index-writer.js';
import type { Upload } from './upload.js';

const widMax = 256;
/** More do not fit into a body. */
const entriesMax = parameterBytesMax / 4;
const nothing: Answer = { data: null };

const wid = { kind: 'integer', min: 1, max: widMax } as const;
const digest = { kind: 'string', check: digestFault } as const;
const chunkParameters = {
  wid,
  digest,
  size: { kind: 'integer', min: 1, max: chunkBytesMax },
  'encoded-size': { kind: 'integer', min: plainHeaderBytes + 1, max: encodedChunkBytesMax },
} as const;
const appendParameters = {
  wid,
  'digest-list': { kind: 'strings', countMax: entriesMax, check: digestFault },
  'offset-list': { kind: 'integers', countMax: entriesMax },
} as const;

export interface BackupEndpointsOptions {
  readonly upload: Upload;
  readonly store: ServedStore;
  readonly previous: SnapshotName | undefined;
}

export function backupEndpoints({ upload, store, previous }: BackupEndpointsOptions): SessionEndpoint[] {
  return [
    ...indexEndpoints(upload, 'fixed'),
    ...indexEndpoints(upload, 'dynamic'),
    openFixed(upload, store, previous),
    sessionEndpoint({
      method: 'POST',
      path: '/dynamic_index',
      parameters: { 'archive-name': { kind: 'string', check: fileNameCheck('dynamic') } },
      run: ({ parameters }) => answer(() => upload.openDynamic(parameters['archive-name'])),
    }),
    ...previousEndpoints(upload, store, previous),
    blobEndpoint(upload),
    sessionEndpoint({
      method: 'POST',
      path: '/finish',
      parameters: {},
      run: async () => {
        await upload.finish();
        return nothing;
      },
    }),
    sessionEndpoint({ method: 'POST', path: '/speedtest', parameters: {}, discardsBody: true, run: () => Promise.resolve(nothing) }),
  ];
}

function openFixed(upload: Upload, store: ServedStore, previous: SnapshotName | undefined): SessionEndpoint {
  return sessionEndpoint({
    method: 'POST',
    path: '/fixed_index',
    parameters: {
      'archive-name': { kind: 'string', check: fileNameCheck('fixed') },
      size: { kind: 'integer', optional: true, min: 1, max: imageBytesMax },
      'reuse-csum': { kind: 'string', optional: true, check: digestFault },
    },
    run: async ({ parameters: { 'archive-name': name, size, 'reuse-csum': csum } }) => {
      if (csum === undefined) return { data: upload.openFixed(name, size) };
      if (size === undefined) throw new Refusal(400, 'reuse-csum needs size');
      if (previous === undefined) throw noPrevious();
      return { data: await upload.openIncremental(name, size, Buffer.from(csum, 'hex'), await store.datastore.index(previous, name)) };
    },
  });
}

function indexEndpoints(upload: Upload, kind: IndexWriter['kind']): SessionEndpoint[] {
  const leastOfClose = kind === 'fixed' ? 0 : 1;
  return [
    sessionEndpoint({
      method: 'POST',
      path: `/${kind}_chunk`,
      parameters: chunkParameters,
      rawBytesMax: encodedChunkBytesMax,
      announcedBytes: (parameters) => parameters['encoded-size'],
      run: async ({ parameters, body, context }) => {
        const bytes = Buffer.from(parameters.digest, 'hex');
        const isKnown = await upload.uploadChunk(kind, { wid: parameters.wid, digest: bytes, length: parameters.size, encoded: body });
        context.metrics.add('chunks_received_total');
        if (isKnown) context.metrics.add('chunks_known_total');
        return { data: parameters.digest };
      },
    }),
    sessionEndpoint({
      method: 'PUT',
      path: `/${kind}_index`,
      parameters: appendParameters,
      run: ({ parameters }) =>
        answer(() => {
          upload.append(kind, parameters.wid, parameters['digest-list'], parameters['offset-list']);
          return null;
        }),
    }),
    sessionEndpoint({
      method: 'POST',
      path: `/${kind}_close`,
      parameters: {
        wid,
        'chunk-count': { kind: 'integer', min: leastOfClose },
        size: { kind: 'integer', min: leastOfClose },
        csum: { kind: 'string', check: digestFault },
      },
      run: async ({ parameters: { wid: number, 'chunk-count': count, size, csum } }) => {
        await upload.close(kind, number, { count, size, csum: Buffer.from(csum, 'hex') });
        return nothing;
      },
    }),
  ];
}

function previousEndpoints(upload: Upload, store: ServedStore, previous: SnapshotName | undefined): SessionEndpoint[] {
  return [
    sessionEndpoint({
      method: 'GET',
      path: '/previous_backup_time',
      parameters: {},
      run: () => Promise.resolve({ data: previous?.time ?? null }),
    }),
    sessionEndpoint({
      method: 'GET',
      path: '/previous',
      parameters: { 'archive-name': { kind: 'string', check: fileNameCheck('fixed', 'dynamic', 'blob') } },
      run: async ({ parameters: { 'archive-name': name } }) => {
        upload.checkActive();
        if (previous === undefined) throw noPrevious();
        return await fileOf(store, previous, name, (chunk, length) => {
          upload.addKnown(chunk, length);
        });
      },
    }),
  ];
}

function blobEndpoint(upload: Upload): SessionEndpoint {
  return sessionEndpoint({
    method: 'POST',
    path: '/blob',
    parameters: {
      'file-name': { kind: 'string', check: fileNameCheck('blob') },
      'encoded-size': { kind: 'integer', min: plainHeaderBytes, max: encodedChunkBytesMax },
    },
    rawBytesMax: encodedChunkBytesMax,
    announcedBytes: (parameters) => parameters['encoded-size'],
    run: async ({ parameters, body }) => {
      await upload.writeBlob(parameters['file-name'], body);
      return nothing;
    },
  });
}

async function answer(act: () => number | null): Promise<Answer> {
  return await Promise.resolve({ data: act() });
}

function noPrevious(): Refusal {
  return new Refusal(400, 'there is no previous snapshot');
}
