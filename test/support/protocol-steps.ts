/** Steps of backups as clients make them. */
import { createHash } from 'node:crypto';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { encodeBlob } from './chunks.js';
import { backupId, backupTime, type ProtocolSession, type SessionAnswer } from './protocol-client.js';
import { noise } from './random.js';

export const fixedBytes = 4 << 20;

export interface TestChunk {
  readonly digest: string;
  readonly size: number;
  readonly encoded: Buffer;
}

export function chunkOf(content: Buffer, key?: EncryptionKey): TestChunk {
  return { digest: chunkDigest(content, key?.idKey).toString('hex'), size: content.length, encoded: encodeBlob(content, { key }) };
}

/** Of noise that nothing compresses. */
export function noiseChunk(label: string, bytes: number): TestChunk {
  return chunkOf(noise(label, bytes));
}

/** A whole chunk of an image that compresses to little. */
export function imageChunk(label: string, bytes = fixedBytes): TestChunk {
  return chunkOf(Buffer.alloc(bytes, `${label} `));
}

export type Kind = 'fixed' | 'dynamic';

export function upload(client: ProtocolSession, kind: Kind, wid: number, { digest, size, encoded }: TestChunk): Promise<SessionAnswer> {
  return client.post(`${kind}_chunk`, { digest, 'encoded-size': encoded.length, size, wid }, encoded);
}

export function append(client: ProtocolSession, kind: Kind, wid: number, entries: readonly (readonly [string, number])[]): Promise<SessionAnswer> {
  return client.put(`${kind}_index`, { 'digest-list': entries.map(([digest]) => digest), 'offset-list': entries.map(([, offset]) => offset), wid });
}

export function close(client: ProtocolSession, kind: Kind, wid: number, count: number, size: number, csum: string): Promise<SessionAnswer> {
  return client.post(`${kind}_close`, { 'chunk-count': count, csum, size, wid });
}

export function blob(client: ProtocolSession, name: string, encoded: Buffer): Promise<SessionAnswer> {
  return client.post('blob', { 'encoded-size': encoded.length, 'file-name': name }, encoded);
}

export function fixedCsum(digests: readonly string[]): string {
  return createHash('sha256').update(Buffer.from(digests.join(''), 'hex')).digest('hex');
}

export function dynamicCsum(chunks: readonly TestChunk[]): string {
  const hash = createHash('sha256');
  let end = 0n;
  for (const { digest, size } of chunks) {
    end += BigInt(size);
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(end);
    hash.update(bytes).update(Buffer.from(digest, 'hex'));
  }
  return hash.digest('hex');
}

export function offsetsOf(chunks: readonly TestChunk[]): readonly (readonly [string, number])[] {
  let offset = 0;
  return chunks.map(({ digest, size }) => {
    const start = offset;
    offset += size;
    return [digest, start] as const;
  });
}

/** Of a snapshot with nothing in it that anybody looks for. */
export function manifestBlob(files: readonly object[] = [], time = backupTime): Buffer {
  const value = { 'backup-id': backupId, 'backup-time': time, 'backup-type': 'host', files, signature: null, unprotected: {} };
  return encodeBlob(Buffer.from(JSON.stringify(value)));
}

/** Index, chunks, append and close; gives the answer of the last step. */
export async function archive(client: ProtocolSession, kind: Kind, name: string, chunks: readonly TestChunk[]): Promise<SessionAnswer> {
  const size = chunks.reduce((sum, chunk) => sum + chunk.size, 0);
  const opened = await client.post(`${kind}_index`, { 'archive-name': name, ...(kind === 'fixed' && { size }) });
  const wid = opened.data as number;
  for (const chunk of new Map(chunks.map((each) => [each.digest, each])).values()) await upload(client, kind, wid, chunk);
  await append(client, kind, wid, offsetsOf(chunks));
  const csum = kind === 'fixed' ? fixedCsum(chunks.map(({ digest }) => digest)) : dynamicCsum(chunks);
  return await close(client, kind, wid, chunks.length, size, csum);
}

/** Throws unless the snapshot is whole. */
export async function finish(client: ProtocolSession): Promise<void> {
  await blob(client, 'index.json.blob', manifestBlob());
  const { status, body } = await client.post('finish');
  if (status !== 200) throw new Error(`not finished: ${body.toString()}`);
}
