/** What is done with snapshots, groups and namespaces beside reading and writing them. Format: datastore, sections 1.4, 5.5 and 8; protocol, section 8. */
import type { Namespace } from '../format/namespace.js';
import type { KeepOptions } from '../format/prune.js';
import type { GroupName, SnapshotName } from '../format/snapshot-name.js';

export interface RemovedCounts {
  readonly groups: number;
  readonly snapshots: number;
  /** Those that stayed. */
  readonly protectedSnapshots: number;
}

export interface PruneDecision {
  readonly snapshot: SnapshotName;
  readonly keep: boolean;
  readonly protected: boolean;
}

/** All reject with NOT_FOUND for what is not there, LOCKED, NO_PERMISSION, NOT_OWNER. */
export interface Administration {
  /** Empty if there are none. */
  notes(of: SnapshotName | GroupName): Promise<string>;
  setNotes(of: SnapshotName | GroupName, notes: string): Promise<void>;
  setProtected(snapshot: SnapshotName, value: boolean): Promise<void>;
  /** LOCKED also while somebody reads it; NOT_PERMITTED for a protected one. */
  removeSnapshot(snapshot: SnapshotName): Promise<void>;
  /** Removes what is not protected; the group itself if nothing is left. NOT_PERMITTED if protected snapshots keep it. */
  removeGroup(group: GroupName): Promise<RemovedCounts>;
  /** With all namespaces below. NOT_EMPTY for groups in it, unless they are to be removed too. */
  removeNamespace(namespace: Namespace, options: { readonly withGroups: boolean }): Promise<RemovedCounts>;
  changeOwner(group: GroupName, owner: string): Promise<void>;
  /** `encoded`: a blob. EXISTS if the snapshot has a log. */
  writeLog(snapshot: SnapshotName, encoded: Buffer): Promise<void>;
  /** Oldest first. Removes what is not kept unless `dryRun`. */
  prune(group: GroupName, keep: KeepOptions, options: { readonly dryRun: boolean }): Promise<readonly PruneDecision[]>;
}
