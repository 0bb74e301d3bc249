/** The readers of snapshots that are in use: at most some sessions at a time, closed when nobody has needed them for a while. */
import { StoreError } from '../../errors.js';
import { manifestFileName } from '../../format/archive-name.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import type { HeldSnapshot } from '../datastore.js';
import type { Patience } from './patience.js';
import type { ServerApi } from './server-api.js';
import { keepOpen } from './held-snapshot.js';
import { SnapshotReader } from './snapshot-reader.js';

/** Open at a time, those of held snapshots not counted. */
const sessionsMax = 16;
const heldMax = 256;
const idleMs = 30_000;
const sweepMs = 5000;

interface Slot {
  readonly reader: SnapshotReader;
  /** Who reads now. */
  users: number;
  /** Who keeps the snapshot from being removed. */
  holders: number;
  usedMs: number;
}

export class SnapshotReaders {
  readonly #api: ServerApi;
  readonly #patience: Patience;
  readonly #progress = (): void => {
    this.#patience.progress();
  };
  /** Least recently used first. */
  readonly #slots = new Map<string, Slot>();
  #waiting: (() => void)[] = [];
  #sweeper: NodeJS.Timeout | undefined;

  constructor(api: ServerApi, patience: Patience) {
    this.#api = api;
    this.#patience = patience;
  }

  get counts(): { readonly open: number; readonly held: number } {
    const slots = [...this.#slots.values()];
    return { open: slots.filter(({ reader }) => reader.isOpen).length, held: slots.filter(({ holders }) => holders > 0).length };
  }

  isOpen(snapshot: SnapshotName): boolean {
    return this.#slots.get(snapshotPath(snapshot))?.reader.isOpen === true;
  }

  /** Gives `work` the snapshot's reader, whose session is not closed meanwhile, and again after the server was away, until it is done or the time is over. */
  async use<T>(snapshot: SnapshotName, work: (reader: SnapshotReader, signal: AbortSignal) => Promise<T>): Promise<T> {
    return await this.#patience.run(async (signal) => {
      const slot = await this.#take(snapshot, signal);
      try {
        return await work(slot.reader, signal);
      } finally {
        this.#leave(slot);
      }
    });
  }

  /** The server gives nobody the snapshot to remove while its session is open. NOT_FOUND if it is not finished; what keeps it from being read. */
  async hold(snapshot: SnapshotName, warn: (line: string) => void): Promise<HeldSnapshot> {
    const slot = this.#slot(snapshot);
    if (slot.holders === 0 && this.counts.held >= heldMax) {
      throw new StoreError('LOCKED', `${heldMax} snapshots are kept from being removed already: no more can be`);
    }
    slot.holders++;
    let isReleased = false;
    const release = (): void => {
      if (isReleased) return;
      isReleased = true;
      slot.holders--;
      this.#leave(slot, 0);
      if (slot.holders + slot.users === 0) this.#close(slot);
    };
    try {
      await this.use(snapshot, (reader, signal) => reader.blob(manifestFileName, signal));
    } catch (error) {
      release();
      throw error;
    }
    void keepOpen(slot.reader, { patience: this.#patience, isReleased: () => isReleased, warn });
    return { release };
  }

  /** Ends what would keep the snapshots of a group or of a namespace, or one snapshot, from being removed, and is not in use. */
  endIdle(path: string): void {
    for (const slot of this.#slots.values()) {
      const { reader } = slot;
      const isBelow = path === '' || reader.path === path || reader.path.startsWith(`${path}/`);
      if (isBelow && slot.users + slot.holders === 0) this.#close(slot);
    }
  }

  /** Snapshots that are held now. */
  held(): readonly SnapshotName[] {
    return [...this.#slots.values()].filter(({ holders }) => holders > 0).map(({ reader }) => reader.snapshot);
  }

  close(): void {
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
    for (const { reader } of this.#slots.values()) reader.close();
    this.#slots.clear();
  }

  #slot(snapshot: SnapshotName): Slot {
    const key = snapshotPath(snapshot);
    const slot = this.#slots.get(key) ?? { reader: new SnapshotReader(this.#api, snapshot, this.#progress), users: 0, holders: 0, usedMs: 0 };
    this.#slots.delete(key);
    this.#slots.set(key, slot);
    return slot;
  }

  async #take(snapshot: SnapshotName, signal: AbortSignal): Promise<Slot> {
    for (;;) {
      signal.throwIfAborted();
      const known = this.#slots.get(snapshotPath(snapshot));
      const isCounted = known !== undefined && (known.holders > 0 || known.users > 0 || known.reader.isOpen);
      if (isCounted || this.#makeRoom()) break;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    const slot = this.#slot(snapshot);
    slot.users++;
    this.#sweeper ??= setInterval(() => {
      this.#sweep();
    }, sweepMs).unref();
    return slot;
  }

  #leave(slot: Slot, users = 1): void {
    slot.users -= users;
    slot.usedMs = performance.now();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) each();
  }

  #close({ reader }: Slot): void {
    this.#slots.delete(reader.path);
    reader.close();
  }

  /** Whether one more may be opened; for that the one that was not used for longest is closed. */
  #makeRoom(): boolean {
    const counted = [...this.#slots.values()].filter(({ holders, users, reader }) => holders === 0 && (users > 0 || reader.isOpen));
    if (counted.length < sessionsMax) return true;
    const idle = counted.find(({ users }) => users === 0);
    if (idle === undefined) return false;
    this.#close(idle);
    return true;
  }

  #sweep(): void {
    const before = performance.now() - idleMs;
    for (const slot of this.#slots.values()) {
      if (slot.users + slot.holders === 0 && slot.usedMs < before) this.#close(slot);
    }
    if (this.#slots.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}
