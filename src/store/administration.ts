/** What is done with snapshots, groups and namespaces beside reading and writing them. Format: datastore, sections 1.4, 5.5 and 8; protocol, section 8. */
import type { GcStatus } from '../format/gc-status.js';
import type { VerifyState } from '../format/manifest.js';
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

export interface GarbageOptions {
  /** Gets lines about how far it is, for people. */
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
  /** Of the task of a server that it is. */
  readonly upid?: string | undefined;
}

/** All reject with NOT_FOUND for what is not there, LOCKED, MAINTENANCE, NO_PERMISSION, NOT_OWNER. */
export interface Administration {
  /** Empty if there are none. */
  notes(of: SnapshotName | GroupName): Promise<string>;
  /** UNFINISHED for a snapshot without a manifest; LIMIT_EXCEEDED, BAD_STRUCTURE for what can be no notes. */
  setNotes(of: SnapshotName | GroupName, notes: string): Promise<void>;
  setProtected(snapshot: SnapshotName, value: boolean): Promise<void>;
  /** Finished or not. LOCKED also while somebody reads it; NOT_PERMITTED for a protected one. */
  removeSnapshot(snapshot: SnapshotName): Promise<void>;
  /** Removes what is not protected; the group itself if nothing is left. NOT_PERMITTED if protected snapshots keep it, unless `skipProtected`. */
  removeGroup(group: GroupName, options?: { readonly skipProtected?: boolean }): Promise<RemovedCounts>;
  /**
   * With all namespaces below. NOT_EMPTY for groups in it, unless they are to be removed too; NOT_PERMITTED if protected snapshots keep it,
   * unless `skipProtected`. INVALID_ARGUMENT for the root.
   */
  removeNamespace(namespace: Namespace, options: { readonly withGroups: boolean; readonly skipProtected?: boolean }): Promise<RemovedCounts>;
  /** USAGE for what is no owner. */
  changeOwner(group: GroupName, owner: string): Promise<void>;
  /** `encoded`: a blob. EXISTS if the snapshot has a log. */
  writeLog(snapshot: SnapshotName, encoded: Buffer): Promise<void>;
  /** Oldest first. Removes what is not kept unless `dryRun`; what can't be removed is only warned of. */
  prune(group: GroupName, keep: KeepOptions, options: { readonly dryRun: boolean }): Promise<readonly PruneDecision[]>;
  /** What a verification found. Absent, as the next one, where only others verify. */
  setVerifyState?(snapshot: SnapshotName, state: VerifyState): Promise<void>;
  /** A damaged chunk gets another name, which this gives, so that the next backup stores it anew; undefined if it is gone. */
  setAsideChunk?(digest: Buffer): Promise<string | undefined>;
  /** Removes chunks that no index names. LOCKED while anybody writes. Absent where only others can do it. */
  collectGarbage?(options: GarbageOptions): Promise<GcStatus>;
}
