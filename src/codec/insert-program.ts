/** What a worker does with chunks that clients have encoded. */
import { syncFileSystem } from '../os/file-sync.js';
import { loadZstd } from '../os/zstd/zstd.js';
import { ChunkFiles } from './chunk-files.js';
import { ReceivedChunkChecker } from './received-chunk.js';
import type { InsertJob, InsertOutcome, Job, OutcomeOf } from './worker-messages.js';

export async function insertProgram(): Promise<(job: Job) => OutcomeOf<Job>> {
  const checker = new ReceivedChunkChecker(await loadZstd());
  return (job) => {
    if (job.kind === 'insert') return insert(checker, job);
    if (job.kind !== 'sync') throw new Error(`a worker that inserts chunks got a job to ${job.kind}`);
    syncFileSystem(job.fd);
    return undefined;
  };
}

function insert(checker: ReceivedChunkChecker, { encoded: bytes, digest: digestBytes, length, place }: InsertJob): InsertOutcome {
  const encoded = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const digest = Buffer.from(digestBytes);
  checker.check(encoded, digest, length);
  return new ChunkFiles(place, false).insert(digest, encoded);
}
