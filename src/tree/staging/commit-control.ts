/**
 * How `pbsfs commit` and `pbsfs stage` talk to the daemon: by the extended attribute `user.pbsfs.control` of a group. Setting it begins
 * something; reading it tells how far that is.
 */
import { z } from 'zod';
import type { ArchiveResult, BackupObserver, BackupProgress } from '../../backup/backup-request.js';
import { FileError, UsageError, codeOf, messageOf } from '../../errors.js';
import { parseBackupTime } from '../../format/backup-time.js';
import { parseJson } from '../../format/json.js';
import { groupPath, snapshotPath, type GroupName, type SnapshotName } from '../../format/snapshot-name.js';
import type { CommitOptions, CommitTime, Staging } from './staging.js';

export const controlName = 'user.pbsfs.control';

const requestBytesMax = 64 * 1024;
/** Shown at once, so that a state is no longer than an attribute may be; whoever has seen them says so, and is shown the next ones. */
const shownMax = 50;
const lineLengthMax = 300;
/** Kept of what nobody has seen. */
const unseenMax = 10_000;

const requestSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('commit'), time: z.string().optional(), notes: z.string().optional() }),
  z.strictObject({ action: z.literal('stage'), from: z.string() }),
  z.strictObject({ action: z.literal('cancel') }),
  z.strictObject({ action: z.literal('seen'), lines: z.int().nonnegative(), archives: z.int().nonnegative() }),
]);

export interface ControlState {
  readonly state: 'idle' | 'running' | 'done' | 'failed';
  readonly snapshot?: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly warnings?: number;
  readonly progress?: BackupProgress & { readonly name: string };
  /** The first of what was told and not seen yet, and how many there were before. */
  readonly linesBefore: number;
  readonly lines: readonly ControlLine[];
  readonly archivesBefore: number;
  readonly archives: readonly ArchiveResult[];
}

export interface ControlLine {
  readonly kind: 'log' | 'warning';
  readonly text: string;
}

type Work = (options: Pick<CommitOptions, 'observer' | 'signal'>) => Promise<{ readonly snapshot: SnapshotName; readonly warnings: number }>;

const idle = { state: 'idle' } as const;

/** Of one group. */
export class CommitControl {
  readonly #staging: Staging;
  readonly #group: GroupName;
  readonly #ended: () => void;
  #state: Omit<ControlState, 'lines' | 'linesBefore' | 'archives' | 'archivesBefore'> = idle;
  #lines = new Unseen<ControlLine>();
  #archives = new Unseen<ArchiveResult>();
  #controller: AbortController | undefined;

  /** `ended` is called when there may be a new snapshot. */
  constructor(staging: Staging, group: GroupName, ended: () => void) {
    this.#staging = staging;
    this.#group = group;
    this.#ended = ended;
  }

  state(): Buffer {
    const state: ControlState = {
      ...this.#state,
      linesBefore: this.#lines.before,
      lines: this.#lines.first(),
      archivesBefore: this.#archives.before,
      archives: this.#archives.first(),
    };
    return Buffer.from(JSON.stringify(state));
  }

  /** INVALID_ARGUMENT for what is no request. */
  request(value: Buffer): void {
    const parsed = requestSchema.safeParse(parseJson(value, 'the request', requestBytesMax));
    if (!parsed.success) throw new FileError('INVALID_ARGUMENT', 'this is no request that is understood here');
    const { data } = parsed;
    if (data.action === 'commit') return this.#begin(this.#commit(timeOf(data.time), data.notes));
    if (data.action === 'stage') return this.#begin((options) => this.#staging.stage(this.#group, { from: data.from, ...options }));
    if (data.action === 'cancel') return this.#controller?.abort();
    this.#lines.forget(data.lines);
    this.#archives.forget(data.archives);
  }

  #commit(time: CommitTime, notes: string | undefined): Work {
    return (options) => this.#staging.commit(this.#group, { time, notes, ...options });
  }

  #begin(work: Work): void {
    if (this.#controller !== undefined) throw new FileError('INVALID_ARGUMENT', `${groupPath(this.#group)} is being committed or staged already`);
    const controller = new AbortController();
    this.#controller = controller;
    this.#state = { state: 'running' };
    this.#lines = new Unseen();
    this.#archives = new Unseen();
    const observer = this.#observer();
    work({ observer, signal: controller.signal })
      .then(
        ({ snapshot, warnings }) => {
          this.#ended();
          this.#state = { ...this.#state, state: 'done', snapshot: snapshotPath(snapshot), warnings };
        },
        (error: unknown) => {
          this.#state = { ...this.#state, state: 'failed', error: { code: codeOf(error) ?? 'EIO', message: messageOf(error) } };
        },
      )
      .finally(() => {
        this.#controller = undefined;
      });
  }

  #observer(): BackupObserver {
    const tell = (kind: ControlLine['kind'], text: string): void => this.#lines.add({ kind, text: text.slice(0, lineLengthMax) });
    return {
      log: (line) => tell('log', line),
      warn: (line) => tell('warning', line),
      progress: (name, progress) => {
        this.#state = { ...this.#state, progress: { name, ...progress } };
      },
      finishedArchive: (result) => this.#archives.add(result),
    };
  }
}

/** What was told and not seen yet; of very much the oldest goes. */
class Unseen<T> {
  #items: T[] = [];
  before = 0;

  add(item: T): void {
    this.#items.push(item);
    if (this.#items.length > unseenMax) this.forget(this.before + 1);
  }

  first(): T[] {
    return this.#items.slice(0, shownMax);
  }

  /** `until`: how many of all were seen. */
  forget(until: number): void {
    const gone = Math.min(Math.max(until - this.before, 0), this.#items.length);
    this.#items.splice(0, gone);
    this.before += gone;
  }
}

/** What a snapshot's directory can be called, or `now`. Undefined for anything else. */
export function parseCommitTime(text: string): CommitTime | undefined {
  if (text === 'now') return text;
  const time = parseBackupTime(text);
  return time === undefined || time < 1 ? undefined : time;
}

/** As parseCommitTime(), and now where nothing is said. USAGE for anything else. */
export function timeOf(text = 'now'): CommitTime {
  const time = parseCommitTime(text);
  if (time === undefined) throw new UsageError(`'${text}' is no time of a snapshot; write one like 2026-11-21T19:00:00Z, or now`);
  return time;
}
