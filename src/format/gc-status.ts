/** Format: datastore, section 7.5. `.gc-status`: the counters of the last garbage collection. */
import { z } from 'zod';
import { parseJson } from './json.js';
import { checkSchema } from './schema.js';

export interface GcStatus {
  readonly upid: string | undefined;
  readonly indexFileCount: number;
  readonly indexDataBytes: number;
  readonly diskBytes: number;
  readonly diskChunks: number;
  readonly removedBytes: number;
  readonly removedChunks: number;
  readonly pendingBytes: number;
  readonly pendingChunks: number;
  readonly removedBad: number;
  readonly stillBad: number;
  /** Written from 4.0 on. */
  readonly cacheStats?: { readonly hits: number; readonly misses: number };
}

const gcStatusBytesMax = 64 * 1024;

const countSchema = z.number().int().nonnegative();
const gcStatusSchema = z.object({
  upid: z.string().nullish(),
  'index-file-count': countSchema,
  'index-data-bytes': countSchema,
  'disk-bytes': countSchema,
  'disk-chunks': countSchema,
  'removed-bytes': countSchema,
  'removed-chunks': countSchema,
  'pending-bytes': countSchema,
  'pending-chunks': countSchema,
  'removed-bad': countSchema,
  'still-bad': countSchema,
  'cache-stats': z.object({ hits: countSchema, misses: countSchema }).nullish(),
});

/** Throws BAD_STRUCTURE or LIMIT_EXCEEDED; a server then goes on as if there were no status. */
export function parseGcStatus(json: Uint8Array): GcStatus {
  const what = 'the status of the garbage collection';
  const status = checkSchema(gcStatusSchema, parseJson(json, what, gcStatusBytesMax), what);
  const cacheStats = status['cache-stats'] ?? undefined;
  return {
    upid: status.upid ?? undefined,
    indexFileCount: status['index-file-count'],
    indexDataBytes: status['index-data-bytes'],
    diskBytes: status['disk-bytes'],
    diskChunks: status['disk-chunks'],
    removedBytes: status['removed-bytes'],
    removedChunks: status['removed-chunks'],
    pendingBytes: status['pending-bytes'],
    pendingChunks: status['pending-chunks'],
    removedBad: status['removed-bad'],
    stillBad: status['still-bad'],
    ...(cacheStats && { cacheStats }),
  };
}

/** In the order in which a server writes the members. */
export function encodeGcStatus(status: GcStatus): Buffer {
  const value: z.input<typeof gcStatusSchema> = {
    upid: status.upid ?? null,
    'index-file-count': status.indexFileCount,
    'index-data-bytes': status.indexDataBytes,
    'disk-bytes': status.diskBytes,
    'disk-chunks': status.diskChunks,
    'removed-bytes': status.removedBytes,
    'removed-chunks': status.removedChunks,
    'pending-bytes': status.pendingBytes,
    'pending-chunks': status.pendingChunks,
    'removed-bad': status.removedBad,
    'still-bad': status.stillBad,
    ...(status.cacheStats && { 'cache-stats': { hits: status.cacheStats.hits, misses: status.cacheStats.misses } }),
  };
  return Buffer.from(JSON.stringify(value));
}
