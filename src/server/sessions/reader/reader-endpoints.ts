/** What a client may ask for in a reader session. Format: protocol, section 11. */
import { join } from 'node:path';
import { DigestSet } from '../../../codec/digest-set.js';
import { StoreError, codeOf } from '../../../errors.js';
import { encodedChunkBytesMax } from '../../../format/blob.js';
import { chunkPath } from '../../../format/chunk-path.js';
import type { SnapshotName } from '../../../format/snapshot-name.js';
import { Refusal } from '../../refusal.js';
import type { ServedStore } from '../../server-context.js';
import { sessionEndpoint, type SessionAnswer, type SessionEndpoint } from '../session-endpoint.js';
import { fileOf, openStoredFile } from '../snapshot-file.js';
import { digestFault, fileNameCheck } from '../snapshot-parameters.js';

/** Of images of 32 TiB in all. */
const allowedChunksMax = 1 << 23;
const speedtestBytes = Buffer.alloc(1 << 20, 0x41);

export function readerEndpoints(store: ServedStore, snapshot: SnapshotName): SessionEndpoint[] {
  /** Those of indexes that were downloaded. */
  const allowed = new DigestSet();
  return [
    sessionEndpoint({
      method: 'GET',
      path: '/download',
      parameters: { 'file-name': { kind: 'string', check: fileNameCheck('fixed', 'dynamic', 'blob') } },
      run: async ({ parameters: { 'file-name': name } }) =>
        await fileOf(store, snapshot, name, (digest) => {
          if (allowed.size >= allowedChunksMax) throw new Refusal(400, `a session reads at most ${allowedChunksMax} different chunks`);
          allowed.add(digest);
        }),
    }),
    sessionEndpoint({
      method: 'GET',
      path: '/chunk',
      parameters: { digest: { kind: 'string', check: digestFault } },
      run: async ({ parameters: { digest }, context }) => {
        const bytes = Buffer.from(digest, 'hex');
        if (!allowed.has(bytes)) throw new Refusal(401, `no index that was downloaded in this session names chunk ${digest}`);
        const answer = await chunkOf(store, bytes);
        context.metrics.add('chunks_sent_total');
        return answer;
      },
    }),
    sessionEndpoint({ method: 'GET', path: '/speedtest', parameters: {}, run: () => Promise.resolve({ bytes: speedtestBytes }) }),
  ];
}

/** As it is stored. */
async function chunkOf(store: ServedStore, digest: Buffer): Promise<SessionAnswer> {
  try {
    return { file: await openStoredFile(join(store.path, chunkPath(digest)), encodedChunkBytesMax) };
  } catch (cause) {
    if (codeOf(cause) !== 'NOT_FOUND') throw cause;
    throw new StoreError('CHUNK_MISSING', `chunk ${digest.toString('hex')} is missing in datastore ${store.name}`, { cause });
  }
}
