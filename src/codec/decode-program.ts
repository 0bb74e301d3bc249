/** What a worker does with jobs that read chunks. */
import { rmSync } from 'node:fs';
import { EncryptionKey } from '../crypto/encryption-key.js';
import { loadZstd } from '../os/zstd/zstd.js';
import { ChunkDecoder } from './chunk-decoder.js';
import { keepFile, makeRoom } from './kept-file.js';
import type { DecodeJob, DecodeSetup, Job, KeepOutcome } from './worker-messages.js';

export async function decodeProgram(setup: DecodeSetup): Promise<(job: Job) => KeepOutcome | undefined> {
  const keys = setup.keys.map((key) => new EncryptionKey(Buffer.from(key)));
  const decoder = new ChunkDecoder(await loadZstd());

  function decode({ path, encoded, keep, digest, keyNumber, offset, length }: DecodeJob): KeepOutcome | undefined {
    const key = keyNumber < 0 ? undefined : keys[keyNumber];
    const file = decoder.decode({ path, encoded, keepsEncoded: keep !== undefined, digest, key }, Buffer.from(setup.memory, offset, length));
    return keep && keepFile(keep, file);
  }

  return (job) => {
    if (job.kind !== 'decode') throw new Error(`a worker that decodes got a job to ${job.kind}`);
    try {
      return decode(job);
    } catch (error) {
      if (job.isCached === true) rmSync(job.path, { force: true });
      if (job.keep !== undefined) makeRoom(job.keep);
      throw error;
    }
  };
}
