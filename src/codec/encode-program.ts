/** What a worker does with contents that become encoded chunks in memory. Format: datastore, sections 2.3 and 2.5. */
import { chunkDigest } from '../crypto/chunk-digest.js';
import { EncryptionKey } from '../crypto/encryption-key.js';
import { chunkBytesMax } from '../format/blob.js';
import { loadZstd } from '../os/zstd/zstd.js';
import { ChunkEncoder } from './chunk-encoder.js';
import type { ContentPlace, EncodeSetup, Job, OutcomeOf } from './worker-messages.js';

export async function encodeProgram(setup: EncodeSetup): Promise<(job: Job) => OutcomeOf<Job>> {
  const key = setup.key && new EncryptionKey(setup.key);
  const encoder = new ChunkEncoder(await loadZstd(), key);
  // Pages that nobody writes to cost no memory.
  const zeros = Buffer.alloc(chunkBytesMax);
  const zeroDigests = new Map<number, Buffer>();
  const zerosDigest = (length: number): Buffer => {
    const digest = zeroDigests.get(length) ?? chunkDigest(zeros.subarray(0, length), key?.idKey);
    zeroDigests.set(length, digest);
    return digest;
  };
  const contentOf = ({ offset, length }: ContentPlace): Buffer =>
    offset === undefined ? zeros.subarray(0, length) : Buffer.from(setup.memory, offset, length);
  const digestOf = (place: ContentPlace): Buffer => {
    const content = contentOf(place);
    return content.equals(zeros.subarray(0, content.length)) ? zerosDigest(content.length) : chunkDigest(content, key?.idKey);
  };
  return (job) => {
    if (job.kind === 'digest') return { digest: new Uint8Array(digestOf(job)) };
    if (job.kind !== 'encode') throw new Error(`a worker that encodes got a job to ${job.kind}`);
    return { encoded: encoder.encodeInto(job.room, contentOf(job)) };
  };
}
