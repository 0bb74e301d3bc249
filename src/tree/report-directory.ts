/** `.pbsfs/`: what goes on inside, for people (status.json), for monitoring (metrics), and what was found damaged (damaged.jsonl). */
import type { CacheStatistics } from '../codec/chunk-cache.js';
import { S_IFREG } from '../vfs/file-system.js';
import type { Attributes, Directory, Entry, Ino } from '../vfs/file-system.js';
import { ReportFile } from './bytes-file.js';
import type { TreeContext } from './context.js';
import { directoryAttributes, listedDirectory, TreeNode } from './node.js';

class ReportDirectory extends TreeNode {
  readonly #context: TreeContext;
  readonly #files: ReadonlyMap<string, ReportFile>;

  constructor(ino: Ino, context: TreeContext, texts: Record<string, () => string>) {
    super(ino);
    this.#context = context;
    const file = (name: string, text: () => string): ReportFile =>
      context.nodes.node(`report ${name}`, (fileIno) => new ReportFile(fileIno, context, text));
    this.#files = new Map(Object.entries(texts).map(([name, text]) => [name, file(name, text)]));
  }

  override attributes(): Attributes {
    return directoryAttributes(this.ino, this.#context.owner, this.#context.opened);
  }

  /** Sizes change all the time. */
  override lookup(name: Buffer): Entry | undefined {
    const file = this.#files.get(name.toString('latin1'));
    return file && { attributes: file.attributes(), ttlMs: 0 };
  }

  override openDirectory(): Directory {
    return listedDirectory([...this.#files].map(([name, { ino }]) => ({ name: Buffer.from(name), ino, type: S_IFREG })));
  }
}

/** `driverFacts` is asked whenever the status is read. */
export function reportDirectory(context: TreeContext, driverFacts: () => object): TreeNode {
  const startedMs = performance.now();
  const upSeconds = (): number => Math.round((performance.now() - startedMs) / 1000);
  const texts = {
    'status.json': () => `${JSON.stringify(statusOf(context, upSeconds(), driverFacts()), null, 2)}\n`,
    metrics: () => metricsOf(context, upSeconds()),
    'damaged.jsonl': () => [...context.damage.chunks].map((chunk) => `${JSON.stringify(chunk)}\n`).join(''),
  };
  return context.nodes.node('report', (ino) => new ReportDirectory(ino, context, texts));
}

function statusOf(context: TreeContext, uptimeSeconds: number, driver: object): object {
  const cache = context.cache.statistics();
  return {
    source: context.store.location,
    ...(context.store.state !== undefined && { connection: context.store.state() }),
    uptimeSeconds,
    cache: { ...cache, hitRate: hitRate(cache) },
    openArchives: context.archives.openCount,
    damagedChunks: context.damage.count,
    memory: process.memoryUsage.rss(),
    keys: context.keys.map(({ fingerprintText }) => fingerprintText),
    salvage: context.salvage,
    driver,
  };
}

function hitRate({ hits, misses }: CacheStatistics): number | null {
  return hits + misses === 0 ? null : hits / (hits + misses);
}

type Metric = readonly [name: string, type: 'counter' | 'gauge', help: string, value: number];

function fetchMetrics({ fetched }: CacheStatistics): readonly Metric[] {
  if (fetched === undefined) return [];
  return [
    ['fetching_chunks', 'gauge', 'Chunks that the server was asked for and has not sent yet.', fetched.fetching],
    ['fetching_bytes', 'gauge', 'Bytes of chunks that are on their way, or wait for a worker.', fetched.bytesInFlight],
    ['fetched_bytes_total', 'counter', 'Encoded bytes of chunks that the server sent.', fetched.bytesFetched],
  ];
}

function diskCacheMetrics({ diskCache: disk }: CacheStatistics): readonly Metric[] {
  if (disk === undefined) return [];
  return [
    ['disk_cache_limit_bytes', 'gauge', 'Most bytes of chunk files that the disk cache keeps.', disk.bytesMax],
    ['disk_cache_used_bytes', 'gauge', 'Bytes of chunk files in the disk cache.', disk.bytesUsed],
    ['disk_cache_files', 'gauge', 'Chunk files in the disk cache.', disk.files],
    ['disk_cache_hits_total', 'counter', 'Chunks that came from the disk cache.', disk.hits],
    ['disk_cache_misses_total', 'counter', 'Chunks that had to come from the datastore.', disk.misses],
    ['disk_cache_kept_total', 'counter', 'Chunks that were written into the disk cache.', disk.kept],
    ['disk_cache_dropped_total', 'counter', 'Files of the disk cache that were damaged or gone.', disk.dropped],
    ['disk_cache_keeping', 'gauge', 'Whether chunks are written into the disk cache now.', Number(disk.keeping)],
  ];
}

/** Prometheus text format, version 0.0.4. */
function metricsOf(context: TreeContext, uptimeSeconds: number): string {
  const cache = context.cache.statistics();
  const metrics: Metric[] = [
    ['uptime_seconds', 'gauge', 'Seconds since the datastore was opened.', uptimeSeconds],
    ['cache_limit_bytes', 'gauge', 'Most bytes of decoded chunks that are kept.', cache.bytesMax],
    ['cache_used_bytes', 'gauge', 'Bytes of decoded chunks that are kept.', cache.bytesUsed],
    ['cache_chunks', 'gauge', 'Decoded chunks that are kept.', cache.chunks],
    ['cache_hits_total', 'counter', 'Chunks that were at hand when needed.', cache.hits],
    ['cache_misses_total', 'counter', 'Chunks that a reader had to wait for.', cache.misses],
    ['prefetched_chunks_total', 'counter', 'Chunks that were asked for ahead of their readers.', cache.prefetched],
    ['decoded_bytes_total', 'counter', 'Bytes of verified content that were decoded.', cache.bytesDecoded],
    ['decode_failures_total', 'counter', 'Chunks that could not be decoded, repeated tries included.', cache.failures],
    ['queued_chunks', 'gauge', 'Chunks that wait for a worker.', cache.queued],
    ['decoding_chunks', 'gauge', 'Chunks that workers decode now.', cache.inWork],
    ...fetchMetrics(cache),
    ...diskCacheMetrics(cache),
    ['damaged_chunks', 'gauge', 'Chunks that were found missing or corrupt.', context.damage.count],
    ['resident_memory_bytes', 'gauge', 'Memory of the process.', process.memoryUsage.rss()],
  ];
  return metrics
    .map(([name, type, help, value]) => `# HELP pbsfs_${name} ${help}\n# TYPE pbsfs_${name} ${type}\npbsfs_${name} ${value}\n`)
    .join('');
}
