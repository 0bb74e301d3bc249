/** All that is staged in one mount: a spool, an area for each group that has something staged, and how it becomes snapshots. */
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ArchiveMode, BackupEncryption, BackupObserver, BackupResult } from '../../backup/backup-request.js';
import { FileError, MountError, StoreError, messageOf } from '../../errors.js';
import { manifestFileName } from '../../format/archive-name.js';
import { groupPath, type GroupName } from '../../format/snapshot-name.js';
import { resolveTime } from '../../store/snapshot-reference.js';
import type { Ino } from '../../vfs/file-system.js';
import type { TreeContext } from '../context.js';
import { CloneOrigins } from './clone-origins.js';
import { SharedWorks } from './image-works.js';
import { stageSnapshot, type StageResult } from './snapshot-stager.js';
import { Spool, noStaging, type GroupSpool } from './spool.js';
import { SpoolTree } from './spool-tree.js';
import { backUpStaged, contentDigest } from './staged-backup.js';
import { StagedImages } from './staged-images.js';
import { StagingTree } from './staging-tree.js';

export const stagingName = 'staging';

export interface StagingOptions {
  /** Directory that the spools of datastores are in. */
  readonly spoolBase: string;
  readonly encryption: BackupEncryption;
  /** Of archives; undefined: as the previous snapshot has them. */
  readonly mode: ArchiveMode | undefined;
}

/** Seconds since 1970, or this second; the next one if the group has a snapshot of this one. */
export type CommitTime = number | 'now';

export interface CommitOptions {
  readonly time: CommitTime;
  readonly notes: string | undefined;
  readonly observer: BackupObserver;
  readonly signal: AbortSignal;
}

export interface StageOptions extends Pick<CommitOptions, 'observer' | 'signal'> {
  /** A time, the beginning of one, or `latest`. */
  readonly from: string;
}

export interface StagingArea {
  readonly group: GroupName;
  readonly tree: StagingTree;
  readonly spool: GroupSpool;
  readonly origins: CloneOrigins;
  /** Why the last commit failed. */
  error: string | undefined;
  isCommitted: boolean;
}

const closeWaitMs = 2000;
const closePollMs = 5;

export class Staging {
  readonly options: StagingOptions;
  readonly #context: TreeContext;
  readonly #log: (line: string) => void;
  readonly #spool: Spool;
  readonly #works: SharedWorks;
  readonly #areas = new Map<string, StagingArea>();
  readonly #commits = new Set<Promise<unknown>>();
  /** Groups in which a snapshot is being staged. */
  readonly #staging = new Set<string>();
  readonly #closing = new AbortController();

  private constructor(context: TreeContext, options: StagingOptions, log: (line: string) => void, spool: Spool) {
    this.#context = context;
    this.options = options;
    this.#log = log;
    this.#spool = spool;
    this.#works = new SharedWorks({ context, key: this.#key(), spoolDirectory: spool.directory, log });
  }

  /** What was staged before is there again. BUSY if another daemon has the spool. */
  static async open(context: TreeContext, options: StagingOptions, log: (line: string) => void): Promise<Staging> {
    const spool = Spool.open(options.spoolBase, context.store.location, log);
    const staging = new Staging(context, options, log, spool);
    for (const group of spool.groups()) await staging.#recover(group);
    return staging;
  }

  area(group: GroupName): StagingArea | undefined {
    return this.#areas.get(groupPath(group));
  }

  /** Of the area that the inode is in. */
  tree(ino: Ino): StagingTree | undefined {
    for (const { tree } of this.#areas.values()) if (tree.has(ino)) return tree;
    return undefined;
  }

  /** EXISTS if there is one. */
  begin(group: GroupName): StagingArea {
    if (this.area(group) !== undefined) throw new FileError('INVALID_ARGUMENT', `something is staged in ${groupPath(group)} already`);
    if (this.#staging.has(groupPath(group))) throw new MountError('BUSY', `a snapshot of ${groupPath(group)} is being staged`);
    return this.#open(group);
  }

  /** Everything of a snapshot, or nothing. EXISTS if something is staged already; what keeps the snapshot from being read. */
  async stage(group: GroupName, options: StageOptions): Promise<StageResult> {
    const name = groupPath(group);
    const area = this.area(group);
    const isEmpty = area !== undefined && !area.isCommitted && readdirSync(area.spool.top).length === 0;
    if (area !== undefined && !isEmpty) throw new StoreError('EXISTS', `something is staged in ${name} already: commit it, or remove ${stagingName} first`);
    if (this.#staging.has(name)) throw new MountError('BUSY', `a snapshot of ${name} is being staged`);
    this.#staging.add(name);
    const work = this.#stage(group, options);
    this.#commits.add(work);
    try {
      return await work;
    } finally {
      this.#commits.delete(work);
      this.#staging.delete(name);
      await this.#endIdleWorks();
    }
  }

  async #stage(group: GroupName, { from, observer, signal }: StageOptions): Promise<StageResult> {
    const snapshot = await resolveTime(this.#context.store, group, from);
    const path = `${groupPath(group)}/${stagingName}`;
    const fresh = this.#spool.fresh();
    const origins = new CloneOrigins(this.#context, fresh.origins, this.#log);
    const images = this.#imagesOf(fresh, path);
    try {
      const shared = { context: this.#context, origins, images, key: this.#key(), spool: fresh, observer };
      const result = await stageSnapshot({ ...shared, snapshot, signal: AbortSignal.any([signal, this.#closing.signal]) });
      await images.close();
      const empty = this.area(group);
      if (empty !== undefined) await this.#drop(empty);
      await this.#spool.adopt(group, fresh);
      await this.#open(group).origins.hold();
      return result;
    } catch (error) {
      await images.close();
      this.#spool.discardFresh(fresh);
      throw error;
    } finally {
      origins.release();
    }
  }

  /** NOT_EMPTY unless everything in it was removed before. */
  async end(group: GroupName): Promise<void> {
    const area = this.#required(group);
    if (readdirSync(area.spool.top).length > 0) throw new FileError('NOT_EMPTY', 'the staging directory is not empty');
    await this.#drop(area);
  }

  /** BUSY while something is open to be written. When it fails, everything is as it was, and the area knows why. */
  async commit(group: GroupName, options: CommitOptions): Promise<BackupResult> {
    const area = this.#required(group);
    if (area.isCommitted) throw new MountError('BUSY', `${groupPath(group)} is being committed`);
    area.isCommitted = true;
    const commit = this.#commit(area, options);
    this.#commits.add(commit);
    try {
      return await commit;
    } finally {
      this.#commits.delete(commit);
      area.isCommitted = false;
      area.tree.frozen = false;
    }
  }

  async #commit(area: StagingArea, options: CommitOptions): Promise<BackupResult> {
    const { tree, group } = area;
    try {
      await lastClosed(tree);
      if (tree.openWriters > 0) throw new MountError('BUSY', `${tree.openWriters} files of ${groupPath(group)}/${stagingName} are still open to be written; close them first`);
      // Not sooner: who still writes while others wait for that is not hindered.
      tree.frozen = true;
      const time = options.time === 'now' ? await this.#now(group) : options.time;
      const result = await this.#backUp(area, { ...options, time });
      // The next daemon finds out that it is committed.
      await this.#drop(area).catch((error: unknown) => this.#log(`${groupPath(group)}: what was committed is not removed: ${messageOf(error)}`));
      return result;
    } catch (error) {
      area.spool.record = undefined;
      this.tellFailure(area, error);
      throw error;
    }
  }

  /** Whoever sees that a commit failed may see no more of it than the number of an error. */
  tellFailure(area: StagingArea, error: unknown): void {
    area.error = messageOf(error);
    this.#log(`${groupPath(area.group)}: what is staged could not be committed: ${area.error}`);
  }

  /** A commit that is under way is given up: what it was to make stays staged. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#commits);
    for (const { tree, origins } of this.#areas.values()) {
      await tree.close();
      origins.release();
    }
    this.#areas.clear();
    await this.#works.close();
    await this.#spool.close();
  }

  async #now(group: GroupName): Promise<number> {
    for (;;) {
      const now = Date.now();
      const second = Math.floor(now / 1000);
      if ((await this.#context.store.snapshots(group)).at(-1)?.time !== second) return second;
      await delay((second + 1) * 1000 - now);
    }
  }

  async #backUp({ group, spool, tree, origins }: StagingArea, { time, notes, observer, signal }: CommitOptions & { readonly time: number }): Promise<BackupResult> {
    const { mode, encryption } = this.options;
    return await backUpStaged(
      { group, spool, origins, images: tree.images },
      {
        store: this.#context.store,
        time,
        mode,
        encryption,
        notes,
        beforeFinish: async (manifest) => {
          spool.record = { time, manifest: await contentDigest(manifest) };
          await this.#spool.sync();
        },
        signal: AbortSignal.any([signal, this.#closing.signal]),
        observer,
      },
    );
  }

  /** A commit that was under way when the last daemon ended has made its snapshot or has not. */
  async #recover(group: GroupName): Promise<void> {
    const { record } = this.#spool.groupSpool(group);
    if (record !== undefined && (await this.#isCommitted(group, record))) {
      this.#spool.discard(group);
      return;
    }
    const { tree, spool, origins } = this.#open(group);
    spool.record = undefined;
    await this.#showGroup(group);
    await origins.hold();
    if (tree.images.names().length === 0) return;
    try {
      // Its writer's lock keeps a garbage collection from the chunks of these images.
      await this.#works.open(spool);
    } catch (error) {
      this.#log(`images that are staged in ${groupPath(group)} can't be used now: ${messageOf(error)}`);
    }
  }

  /** What is staged is found in its group, which a server has only when it has a snapshot, and which may have been removed since. */
  async #showGroup(group: GroupName): Promise<void> {
    const { store } = this.#context;
    try {
      const groups = await store.groups(group.namespace);
      if (!groups.some(({ type, id }) => type === group.type && id === group.id)) await store.createGroup(group, this.#log);
    } catch (error) {
      this.#log(`${groupPath(group)}, in which something is staged, is not there: ${messageOf(error)}`);
    }
  }

  async #isCommitted(group: GroupName, { time, manifest }: { readonly time: number; readonly manifest: string }): Promise<boolean> {
    try {
      return (await contentDigest(await this.#context.store.blob({ ...group, time }, manifestFileName))) === manifest;
    } catch {
      return false;
    }
  }

  #open(group: GroupName): StagingArea {
    const spool = this.#spool.groupSpool(group);
    const path = `${groupPath(group)}/${stagingName}`;
    const log = (line: string): void => this.#log(`${path}: ${line}`);
    const { nodes } = this.#context;
    const origins = new CloneOrigins(this.#context, spool.origins, log);
    const reservedXattrs = (ino: Ino, name: Buffer): Buffer | undefined => reserved(area, ino, name);
    const area: StagingArea = { group, spool, origins, error: undefined, isCommitted: false, tree: new StagingTree({
      spool: new SpoolTree({ directory: spool.top, allocateIno: () => nodes.allocate(), log, reservedXattrs, clones: origins }),
      images: this.#imagesOf(spool, path),
      key: this.#key(),
      log,
    }) };
    this.#areas.set(groupPath(group), area);
    return area;
  }

  #imagesOf(spool: GroupSpool, path: string): StagedImages {
    return new StagedImages(this.#context, path, spool.images, () => this.#works.open(spool), () => void this.#endIdleWorks());
  }

  #key(): BackupEncryption['key'] {
    const { cryptMode, key } = this.options.encryption;
    return cryptMode === 'encrypt' ? key : undefined;
  }

  async #drop(area: StagingArea): Promise<void> {
    this.#areas.delete(groupPath(area.group));
    await area.tree.close();
    area.origins.release();
    this.#spool.discard(area.group);
    await this.#endIdleWorks();
  }

  /** Where no image is staged nobody needs to keep garbage collection out. */
  async #endIdleWorks(): Promise<void> {
    if (this.#staging.size > 0 || [...this.#areas.values()].some(({ tree }) => tree.images.any)) return;
    await this.#works.giveUp();
  }

  #required(group: GroupName): StagingArea {
    const area = this.area(group);
    if (area === undefined) throw noStaging();
    return area;
  }
}

/** The kernel tells of files that were closed a little after programs have closed them. */
async function lastClosed(tree: StagingTree): Promise<void> {
  for (const until = performance.now() + closeWaitMs; tree.openWriters > 0 && performance.now() < until; ) await delay(closePollMs);
}

/** Of the staging directory itself: `user.pbsfs.error`, why its last commit failed. */
function reserved({ tree, error }: StagingArea, ino: Ino, name: Buffer): Buffer | undefined {
  return ino === tree.root && error !== undefined && name.toString('latin1') === 'user.pbsfs.error' ? Buffer.from(error) : undefined;
}
