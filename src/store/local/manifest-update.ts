/** Changes the part of a manifest that is not signed. Format: datastore, section 5.5. */
import { join } from 'node:path';
import { decodeBlob } from '../../codec/blob-decoder.js';
import { encodeBlob } from '../../codec/blob-encoder.js';
import { StoreError, codeOf } from '../../errors.js';
import { manifestFileName } from '../../format/archive-name.js';
import { encodedBlobBytesMax } from '../../format/blob.js';
import { encodeManifest, parseManifest, type UnprotectedManifest } from '../../format/manifest.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import { writeWhole } from './atomic-file.js';
import { readWhole } from './directory.js';
import { LockStack, lockExistingFile } from './locks.js';
import { lockManifest, takeManifestLock } from './snapshot-locks.js';
import { snapshotDirectory } from './snapshot-removal.js';
import type { WritableStore } from './writable-store.js';

/** What is not known is kept. NOT_FOUND, UNFINISHED, LOCKED; BAD_CRC, BAD_STRUCTURE... for a damaged manifest. */
export async function updateManifest(
  store: WritableStore,
  snapshot: SnapshotName,
  change: (unprotected: UnprotectedManifest) => UnprotectedManifest,
): Promise<void> {
  const directory = await snapshotDirectory(store, snapshot);
  const path = join(directory, manifestFileName);
  const locks = new LockStack();
  try {
    await lockManifest(store, snapshot, locks);
    // The file itself too: without a server there is no other lock.
    locks.push(await takeManifestLock(path, () => lockExistingFile(path, 'exclusive')));
    const zstd = await loadZstd();
    const manifest = parseManifest(decodeBlob(await readWhole(path, encodedBlobBytesMax), zstd, undefined));
    const bytes = encodeManifest({ ...manifest, unprotected: change(manifest.unprotected) });
    await writeWhole(directory, manifestFileName, encodeBlob(bytes, { zstd }), { owner: store.owner, durable: store.syncLevel !== 'none' });
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw cause;
    throw new StoreError('UNFINISHED', `${snapshotPath(snapshot)} has no manifest: it is not finished`, { cause });
  } finally {
    locks.release();
  }
}
