/** A thread that verifies chunks: all of a plain one, of an encrypted one what can be told without its key. Format: datastore, section 9 (5). */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { checkBlob } from '../../codec/blob-decoder.js';
import { ChunkDecoder } from '../../codec/chunk-decoder.js';
import { FormatError, codeOf, messageOf } from '../../errors.js';
import { chunkBytesMax, encodedChunkBytesMax } from '../../format/blob.js';
import { digestBytes } from '../../format/chunk-index.js';
import { lowerThreadPriority } from '../../os/priority.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import type { ChunkFault, VerifyAnswer, VerifyBatch, VerifyRequest, VerifySetup } from './messages.js';

const threadNice = 10;

lowerThreadPriority(threadNice);
const { chunksDirectory } = workerData as VerifySetup;
const decoder = new ChunkDecoder(await loadZstd());
const target = Buffer.allocUnsafeSlow(chunkBytesMax);

function verify({ digests, lengths, encrypted }: VerifyBatch): VerifyAnswer {
  const faults: ChunkFault[] = [];
  let bytes = 0;
  for (const [position, length] of lengths.entries()) {
    const digest = Buffer.from(digests.subarray(position * digestBytes, (position + 1) * digestBytes));
    try {
      const found = verifyChunk(digest, length, encrypted);
      bytes += found.bytes;
      if (found.isOther) faults.push({ position, kind: 'wrong', message: `chunk ${digest.toString('hex')} is ${encrypted ? 'not ' : ''}encrypted, its archive is the opposite` });
    } catch (error) {
      faults.push({ position, kind: kindOf(error), message: `chunk ${digest.toString('hex')}: ${messageOf(error)}` });
    }
  }
  return { faults, bytes };
}

function verifyChunk(digest: Buffer, length: number, encrypted: boolean): { bytes: number; isOther: boolean } {
  const hex = digest.toString('hex');
  const path = `${chunksDirectory}/${hex.slice(0, 4)}/${hex}`;
  const encoded = readChunk(path);
  const isOther = checkBlob(encoded).encrypted !== encrypted;
  if (!isOther && !encrypted) decoder.decode({ path, encoded, digest, key: undefined }, target.subarray(0, length));
  return { bytes: encoded.length, isOther };
}

function readChunk(path: string): Buffer<ArrayBuffer> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const facts = fstatSync(fd);
    if (!facts.isFile()) throw new FormatError('BAD_STRUCTURE', `${path} is not a file`);
    if (facts.size > encodedChunkBytesMax) throw new FormatError('LIMIT_EXCEEDED', `${path} has ${facts.size} bytes, more than any chunk`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** What a failing disk or a lack of rights says is nothing about the file. */
function kindOf(error: unknown): ChunkFault['kind'] {
  if (codeOf(error) === 'ENOENT') return 'missing';
  return error instanceof FormatError || codeOf(error) === 'CHUNK_CORRUPT' ? 'corrupt' : 'wrong';
}

parentPort?.on('message', (request: VerifyRequest) => {
  if (request === 'end') parentPort?.close();
  else parentPort?.postMessage(verify(request));
});
