/** What a worker does with jobs that read chunks. */
import { EncryptionKey } from '../crypto/encryption-key.js';
import { loadZstd } from '../os/zstd/zstd.js';
import { ChunkDecoder } from './chunk-decoder.js';
import type { DecodeSetup, Job } from './worker-messages.js';

export async function decodeProgram(setup: DecodeSetup): Promise<(job: Job) => undefined> {
  const keys = setup.keys.map((key) => new EncryptionKey(Buffer.from(key)));
  const decoder = new ChunkDecoder(await loadZstd());
  return (job) => {
    if (job.kind !== 'decode') throw new Error(`a worker that decodes got a job to ${job.kind}`);
    const key = job.keyNumber < 0 ? undefined : keys[job.keyNumber];
    decoder.decode({ path: job.path, encoded: job.encoded, digest: job.digest, key }, Buffer.from(setup.memory, job.offset, job.length));
  };
}
