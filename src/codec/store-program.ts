/** What a worker does with jobs that write chunks. */
import { EncryptionKey } from '../crypto/encryption-key.js';
import { digestBytes } from '../format/chunk-index.js';
import { syncFileSystem } from '../os/file-sync.js';
import { loadZstd } from '../os/zstd/zstd.js';
import { ChunkWriter } from './chunk-writer.js';
import type { Job, OutcomeOf, StoreSetup } from './worker-messages.js';

export async function storeProgram(setup: StoreSetup): Promise<(job: Job) => OutcomeOf<Job>> {
  const key = setup.key && new EncryptionKey(setup.key);
  const writer = new ChunkWriter({ zstd: await loadZstd(), key, place: setup });
  return (job) => {
    switch (job.kind) {
      case 'store':
        return writer.store(Buffer.from(setup.memory, job.offset, job.length));
      case 'storeZeros':
        return writer.storeZeros(job.length);
      case 'touch':
        return writer.missingOf(job.lengths.map((length, i) => ({ digest: Buffer.from(digestAt(job.digests, i)), length })));
      case 'sync':
        syncFileSystem(job.fd);
        return undefined;
      case 'decode':
      case 'insert':
      case 'digest':
      case 'encode':
        throw new Error(`a worker that stores got a job to ${job.kind}`);
    }
  };
}

function digestAt(digests: Uint8Array, i: number): Uint8Array {
  return digests.subarray(i * digestBytes, (i + 1) * digestBytes);
}
