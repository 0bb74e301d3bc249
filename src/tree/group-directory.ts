/** A group: its snapshots by their times, and `latest`, a link to the newest one that was finished. */
import { formatBackupTime } from '../format/backup-time.js';
import { groupPath, type GroupName, type SnapshotName } from '../format/snapshot-name.js';
import type { Attributes, Directory, Entry, Ino, Timestamp } from '../vfs/file-system.js';
import { S_IFDIR, S_IFLNK } from '../vfs/file-system.js';
import { groupXattrs } from './archive-facts.js';
import type { TreeContext } from './context.js';
import { Fresh } from './fresh.js';
import { directoryAttributes, freshMs, linkAttributes, listedDirectory, TreeNode, type NodeOwner, type Xattrs } from './node.js';
import { SnapshotDirectory } from './snapshot-directory.js';

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

  constructor(ino: Ino, context: TreeContext, group: GroupName) {
    super(ino);
    this.#context = context;
    this.#group = group;
    this.#listing = new Fresh(() => this.#read());
  }

  /** The time of the newest snapshot, so that `ls -t` tells which group was backed up last. */
  override async attributes(): Promise<Attributes> {
    return directoryAttributes(this.ino, this.#context.owner, await this.#newestTime());
  }

  override async lookup(name: Buffer): Promise<Entry | undefined> {
    const { snapshots, latest } = await this.#listing.get();
    const text = name.toString('latin1');
    if (text === latestName && latest !== undefined) return { attributes: this.#latestLink(latest).attributes(), ttlMs: freshMs };
    const snapshot = snapshots.get(text);
    return snapshot && { attributes: this.#directory(snapshot).attributes(), ttlMs: freshMs };
  }

  override async openDirectory(): Promise<Directory> {
    const { snapshots, latest } = await this.#listing.get();
    const entries = [...snapshots].map(([name, snapshot]) => {
      const attributes = this.#directory(snapshot).attributes();
      return { name: Buffer.from(name), ino: attributes.ino, type: S_IFDIR, entry: { attributes, ttlMs: freshMs } };
    });
    if (latest === undefined) return listedDirectory(entries);
    const attributes = this.#latestLink(latest).attributes();
    const link = { name: Buffer.from(latestName), ino: attributes.ino, type: S_IFLNK, entry: { attributes, ttlMs: freshMs } };
    return listedDirectory([...entries, link]);
  }

  override async xattrs(): Promise<Xattrs> {
    return groupXattrs(await this.#context.store.groupFacts(this.#group));
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
