/** A group: its snapshots by their times, and `latest`, a link to the newest one that was finished. */
import { FileError, StoreError } from '../errors.js';
import { formatBackupTime } from '../format/backup-time.js';
import { groupPath, type GroupName, type SnapshotName } from '../format/snapshot-name.js';
import type { Attributes, Directory, Entry, Ino, Timestamp } from '../vfs/file-system.js';
import { S_IFDIR, S_IFLNK } from '../vfs/file-system.js';
import { groupXattrs } from './archive-facts.js';
import type { TreeContext } from './context.js';
import { Fresh } from './fresh.js';
import { directoryAttributes, freshMs, linkAttributes, listedDirectory, readOnly, TreeNode, type NodeOwner, type Xattrs } from './node.js';
import { SnapshotDirectory } from './snapshot-directory.js';
import { CommitControl, controlName, parseCommitTime } from './staging/commit-control.js';
import { stagingName, type CommitTime } from './staging/staging.js';

const latestName = 'latest';

interface GroupListing {
  readonly snapshots: ReadonlyMap<string, SnapshotName>;
  /** Name of the newest finished snapshot. */
  readonly latest: string | undefined;
}

export class GroupDirectory extends TreeNode {
  readonly #context: TreeContext;
  readonly #group: GroupName;
  readonly #listing: Fresh<GroupListing>;
  readonly #control: CommitControl | undefined;

  constructor(ino: Ino, context: TreeContext, group: GroupName) {
    super(ino);
    this.#context = context;
    this.#group = group;
    this.#listing = new Fresh(() => this.#read());
    this.#control = context.staging && new CommitControl(context.staging, group, () => this.#listing.expire());
  }

  /** The time of the newest snapshot, so that `ls -t` tells which group was backed up last. */
  override async attributes(): Promise<Attributes> {
    const permissions = this.#context.staging === undefined ? undefined : 0o755;
    return directoryAttributes(this.ino, this.#context.owner, await this.#newestTime(), permissions);
  }

  override async lookup(name: Buffer): Promise<Entry | undefined> {
    const { snapshots, latest } = await this.#listing.get();
    const text = name.toString('latin1');
    if (text === stagingName) return await this.#staged();
    if (text === latestName && latest !== undefined) return this.#latestEntry(latest);
    const snapshot = snapshots.get(text);
    return snapshot && { attributes: this.#directory(snapshot).attributes(), ttlMs: freshMs };
  }

  override async openDirectory(): Promise<Directory> {
    const { snapshots, latest } = await this.#listing.get();
    const entries = [...snapshots].map(([name, snapshot]) => {
      const attributes = this.#directory(snapshot).attributes();
      return { name: Buffer.from(name), ino: attributes.ino, type: S_IFDIR, entry: { attributes, ttlMs: freshMs } };
    });
    const staged = this.#context.staging?.area(this.#group);
    const staging = staged === undefined ? [] : [{ name: Buffer.from(stagingName), ino: staged.tree.root, type: S_IFDIR }];
    if (latest === undefined) return listedDirectory([...entries, ...staging]);
    const entry = this.#latestEntry(latest);
    const link = { name: Buffer.from(latestName), ino: entry.attributes.ino, type: S_IFLNK, entry };
    return listedDirectory([...entries, link, ...staging]);
  }

  override async makeDirectory(name: Buffer): Promise<Entry> {
    const { staging } = this.#context;
    if (staging === undefined || name.toString('latin1') !== stagingName) throw readOnly();
    if (staging.area(this.#group) !== undefined) throw new StoreError('EXISTS', 'something is staged here already');
    const { tree } = staging.begin(this.#group);
    return { ...(await tree.getattr(tree.root)), ttlMs: 0 };
  }

  override async removeDirectory(name: Buffer): Promise<void> {
    if (name.toString('latin1') !== stagingName || this.#context.staging === undefined) throw readOnly();
    await this.#context.staging.end(this.#group);
  }

  /** What is staged becomes a snapshot by being called like one. */
  override async rename(name: Buffer, to: TreeNode, toName: Buffer): Promise<void> {
    const { staging, log } = this.#context;
    if (staging === undefined || name.toString('latin1') !== stagingName) throw readOnly();
    if (to !== this) throw new FileError('CROSS_DEVICE', 'what is staged becomes a snapshot of its own group only');
    const time = await this.#newTime(toName.toString('latin1')).catch((error: unknown) => {
      const area = staging.area(this.#group);
      if (area !== undefined && !area.isCommitted) staging.tellFailure(area, error);
      throw error;
    });
    const line = (text: string): void => log(`${groupPath(this.#group)}: ${text}`);
    const observer = { log: line, warn: line, progress: () => undefined, finishedArchive: () => undefined };
    await staging.commit(this.#group, { time, notes: undefined, observer, signal: new AbortController().signal });
    this.#listing.expire();
  }

  override setXattr(name: string, value: Buffer): void {
    if (this.#control === undefined || name !== controlName) throw readOnly();
    this.#control.request(value);
  }

  /** Not to be believed where it may be another one as soon as a commit has returned. */
  #latestEntry(latest: string): Entry {
    return { attributes: this.#latestLink(latest).attributes(), ttlMs: this.#context.staging === undefined ? freshMs : 0 };
  }

  async #staged(): Promise<Entry | undefined> {
    const tree = this.#context.staging?.area(this.#group)?.tree;
    // Not to be believed longer than this: it may become a snapshot.
    return tree && { ...(await tree.getattr(tree.root)), ttlMs: 0 };
  }

  /** EXISTS, or INVALID_ARGUMENT for what is no time or if the group has a newer snapshot: so rename(2) tells them apart. */
  async #newTime(text: string): Promise<CommitTime> {
    const asked = parseCommitTime(text);
    if (asked === undefined) throw new FileError('INVALID_ARGUMENT', `'${text}' is no time of a snapshot, like 2026-11-21T19:00:00Z, and not 'now'`);
    const snapshots = await this.#context.store.snapshots(this.#group);
    const newest = snapshots.at(-1);
    const time = asked === 'now' ? Math.floor(Date.now() / 1000) : asked;
    if (asked === 'now' && (newest?.time ?? 0) <= time) return 'now';
    if (snapshots.some((snapshot) => snapshot.time === time)) throw new StoreError('EXISTS', `${formatBackupTime(time)} exists`);
    if (newest === undefined || newest.time < time) return time;
    throw new FileError('INVALID_ARGUMENT', `${formatBackupTime(time)} is not later than the newest snapshot, ${formatBackupTime(newest.time)}`);
  }

  override async xattrs(): Promise<Xattrs> {
    const facts = groupXattrs(await this.#context.store.groupFacts(this.#group));
    const control = this.#control;
    return control === undefined ? facts : new Map([...facts, [controlName, () => control.state()]]);
  }

  override async changedNames(): Promise<readonly string[]> {
    const before = this.#listing.last;
    if (before === undefined) return [];
    this.#listing.expire();
    const now = await this.#listing.get();
    const gone = [...before.snapshots.keys()].filter((name) => !now.snapshots.has(name));
    return before.latest === now.latest ? gone : [...gone, latestName];
  }

  async #newestTime(): Promise<Timestamp> {
    try {
      const newest = [...(await this.#listing.get()).snapshots.values()].at(-1);
      return newest === undefined ? this.#context.opened : { sec: newest.time, nsec: 0 };
    } catch {
      // What can't be listed is there all the same; listing it tells why.
      return this.#context.opened;
    }
  }

  async #read(): Promise<GroupListing> {
    const snapshots = await this.#context.store.snapshots(this.#group);
    const named = new Map(snapshots.map((snapshot) => [formatBackupTime(snapshot.time), snapshot]));
    for (const snapshot of [...snapshots].reverse()) {
      if (await this.#isFinished(snapshot)) return { snapshots: named, latest: formatBackupTime(snapshot.time) };
    }
    return { snapshots: named, latest: undefined };
  }

  async #isFinished(snapshot: SnapshotName): Promise<boolean> {
    try {
      return (await this.#context.store.snapshotFacts(snapshot)).finished;
    } catch {
      // Gone since the listing, or not readable: not the one to point at.
      return false;
    }
  }

  #directory(snapshot: SnapshotName): SnapshotDirectory {
    const key = `${groupPath(this.#group)}/${snapshot.time}`;
    return this.#context.nodes.node(key, (ino) => new SnapshotDirectory(ino, this.#context, snapshot));
  }

  /** A link of its own for each target: the kernel keeps what it has read of a link. */
  #latestLink(target: string): LatestLink {
    const { owner, opened } = this.#context;
    return this.#context.nodes.node(`${groupPath(this.#group)}/latest ${target}`, (ino) => new LatestLink(ino, owner, opened, target));
  }
}

class LatestLink extends TreeNode {
  readonly #owner: NodeOwner;
  readonly #time: Timestamp;
  readonly #target: Buffer;

  constructor(ino: Ino, owner: NodeOwner, time: Timestamp, target: string) {
    super(ino);
    this.#owner = owner;
    this.#time = time;
    this.#target = Buffer.from(target);
  }

  override attributes(): Attributes {
    return linkAttributes(this.ino, this.#owner, this.#time, this.#target);
  }

  override readlink(): Buffer {
    return this.#target;
  }
}
