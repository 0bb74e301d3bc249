/** Why a server gives no backup session. Format: protocol, section 9.2. */
import { StoreError, codeOf } from '../../errors.js';
import { parseAuthId } from '../../format/auth-id.js';
import { formatBackupTime } from '../../format/backup-time.js';
import { groupPath, snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { listedStores } from './listed-stores.js';
import type { Listings } from './listings.js';
import type { ServerApi } from './server-api.js';
import type { ServerRefusal } from './server-refusal.js';

interface Asked {
  readonly api: ServerApi;
  readonly listings: Listings;
}

/** A server says the same for most reasons, in words: what it has tells which it is. */
export async function explainedRefusal({ listings, api }: Asked, snapshot: SnapshotName, refusal: ServerRefusal): Promise<Error> {
  if (refusal.status === 403 || (await isInMaintenance(api))) return refusal;
  const options = { cause: refusal };
  const path = groupPath(snapshot);
  try {
    listings.drop(snapshot.namespace);
    const snapshots = await listings.listed(snapshot);
    const { owner } = await listings.groupFacts(snapshot);
    if (owner !== undefined && !owns(api.repository.authId, owner)) {
      return new StoreError('NOT_OWNER', `${path} belongs to ${owner}, not to ${api.repository.authId}: ${refusal.text}`, options);
    }
    const newest = snapshots.findLast(({ facts }) => facts.finished);
    if (newest !== undefined && newest.time >= snapshot.time) {
      const text = `${path} has a snapshot of ${formatBackupTime(newest.time)}, which is not before ${formatBackupTime(snapshot.time)}`;
      return new StoreError('EXISTS', `${text}: new snapshots must be newer; give a later time`, options);
    }
    if (snapshots.some(({ time, facts }) => !facts.finished && time === snapshot.time)) {
      return new StoreError('EXISTS', `${snapshotPath(snapshot)} exists, not finished: it is being written, or remove it or give another time`, options);
    }
    return new StoreError('LOCKED', `${path} can't be written to now, most likely because another backup of it is running: ${refusal.text}`, options);
  } catch (error) {
    if (codeOf(error) !== 'NOT_FOUND' || refusal.status === 404) return error as Error;
    // A server does not show a group that is not there, nor one of another user to who may not read it.
    const text = `${path} is not shown to ${api.repository.authId}, most likely because it belongs to another user: ${refusal.text}`;
    return new StoreError('NOT_OWNER', text, options);
  }
}

/** Where it is not known it is not. */
async function isInMaintenance(api: ServerApi): Promise<boolean> {
  try {
    return (await listedStores(api)).some((store) => store.name === api.repository.store && store.isInMaintenance);
  } catch {
    return false;
  }
}

/** Format: protocol, section 7. */
function owns(authId: string, owner: string): boolean {
  return owner === authId || parseAuthId(owner).user === authId;
}
