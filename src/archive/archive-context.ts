/** What opening the files of snapshots needs: where they are, keys, decoded chunks, and whom to tell of damage. */
import type { ChunkCache } from '../codec/chunk-cache.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import type { Zstd } from '../os/zstd/zstd.js';
import type { Datastore } from '../store/datastore.js';
import type { DamageLog } from './damage.js';

export interface ArchiveContext {
  readonly store: Datastore;
  readonly keys: readonly EncryptionKey[];
  readonly cache: ChunkCache;
  readonly damage: DamageLog;
  readonly zstd: Promise<Zstd>;
  /** Zeros in place of what is lost, and nothing is refused for damage. */
  readonly salvage: boolean;
}
