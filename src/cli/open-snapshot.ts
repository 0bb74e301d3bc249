/** One snapshot for commands that restore from it: what it holds, and whatever decoding it takes. */
import type { ArchiveContext } from '../archive/archive-context.js';
import { DamageLog } from '../archive/damage.js';
import { readSnapshotState, type SnapshotState } from '../archive/snapshot-state.js';
import { ChunkCache } from '../codec/chunk-cache.js';
import { messageOf, UsageError } from '../errors.js';
import { parseNamespace } from '../format/namespace.js';
import { loadZstd } from '../os/zstd/zstd.js';
import { resolveReference } from '../store/snapshot-reference.js';
import { printableName } from '../vfs/name.js';
import type { OptionValues } from './command.js';
import { cacheBytesMax, openLocation } from './open-location.js';
import { loadKeys } from './open-source.js';
import { sourceOptions, storeOption } from './source-options.js';

export const snapshotOptions = {
  ...storeOption,
  ns: { ...sourceOptions.ns, describe: 'namespace of the snapshot' },
  keyfile: sourceOptions.keyfile,
  'password-file': sourceOptions['password-file'],
} as const;

export const snapshotPositional = { name: 'SNAPSHOT', completion: 'path', describe: 'type/id/time, where time may be latest or the beginning of one' } as const;
export const archivePositional = { name: 'ARCHIVE', describe: 'its name in the snapshot: root.pxar, drive-scsi0.img, notes.conf...' } as const;

export interface OpenSnapshot {
  readonly context: ArchiveContext;
  readonly state: SnapshotState;
}

/** Opens the datastore, and closes it when `use` is done. `warn` is told of damage that does not end `use`. */
export async function withSnapshot<T>(
  values: OptionValues<typeof snapshotOptions>,
  reference: Buffer,
  warn: (line: string) => void,
  use: (opened: OpenSnapshot) => Promise<T>,
): Promise<T> {
  if (values.store === undefined) throw new UsageError('--store DIR (or --repository) is missing: it says which datastore');
  const keys = await loadKeys(values.keyfile ?? [], values['password-file'], warn);
  const store = await openLocation(values.store, values, warn);
  const lines: string[] = [];
  const cache = new ChunkCache({ bytesMax: cacheBytesMax(store), keys: keys.map(({ encKey }) => encKey), source: store.chunks });
  let failure: unknown;
  try {
    const { snapshot, rest } = await resolveReference(store, reference, parseNamespace(values.ns ?? ''));
    if (snapshot === undefined || rest.length > 0) throw new UsageError(`'${printableName(reference)}' names no snapshot: write type/id/time, or type/id/latest`);
    const context: ArchiveContext = { store, keys, cache, damage: new DamageLog((line) => lines.push(line)), zstd: loadZstd(), salvage: false };
    return await use({ context, state: await readSnapshotState(context, snapshot) });
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await Promise.all([cache.close(), store.close()]);
    // The line that the command ends with says what it failed for.
    for (const line of lines) if (failure === undefined || line !== messageOf(failure)) warn(line);
  }
}
