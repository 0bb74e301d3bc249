/**
 * How `pbsfs commit` and `pbsfs stage` talk to the daemon: by the extended attribute `user.pbsfs.control` of a group. Setting it begins
 * something; reading it tells how far that is.
 */
import { z } from 'zod';
import type { ArchiveResult, BackupObserver, BackupProgress } from '../../backup/backup-request.js';
import { FileError, UsageError, codeOf, messageOf } from '../../errors.js';
import { parseBackupTime } from '../../format/backup-time.js';
import { parseJson } from '../../format/json.js';
import { groupPath, snapshotPath, type GroupName } from '../../format/snapshot-name.js';
import type { Staging } from './staging.js';

export const controlName = 'user.pbsfs.control';

const requestBytesMax = 64 * 1024;
/** So that a state is no longer than an attribute may be. */
const linesMax = 100;
const lineLengthMax = 300;

const requestSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('commit'), time: z.string().optional(), notes: z.string().optional() }),
  z.strictObject({ action: z.literal('cancel') }),
]);

export interface ControlState {
  readonly state: 'idle' | 'running' | 'done' | 'failed';
  readonly snapshot?: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly warnings?: number;
  /** The last of what was told, and how many lines there were before. */
  readonly linesBefore: number;
  readonly lines: readonly { readonly kind: 'log' | 'warning'; readonly text: string }[];
  readonly progress?: BackupProgress & { readonly name: string };
  readonly archives: readonly ArchiveResult[];
}

const idle: ControlState = { state: 'idle', linesBefore: 0, lines: [], archives: [] };

/** Of one group. */
export class CommitControl {
  readonly #staging: Staging;
  readonly #group: GroupName;
  readonly #ended: () => void;
  #state: ControlState = idle;
  #controller: AbortController | undefined;

  /** `ended` is called when there may be a new snapshot. */
  constructor(staging: Staging, group: GroupName, ended: () => void) {
    this.#staging = staging;
    this.#group = group;
    this.#ended = ended;
  }

  state(): Buffer {
    return Buffer.from(JSON.stringify(this.#state));
  }

  /** INVALID_ARGUMENT for what is no request. */
  request(value: Buffer): void {
    const parsed = requestSchema.safeParse(parseJson(value, 'the request', requestBytesMax));
    if (!parsed.success) throw new FileError('INVALID_ARGUMENT', 'this is no request that is understood here');
    if (parsed.data.action === 'cancel') this.#controller?.abort();
    else this.#begin(timeOf(parsed.data.time), parsed.data.notes);
  }

  #begin(time: number, notes: string | undefined): void {
    if (this.#controller !== undefined) throw new FileError('INVALID_ARGUMENT', `${groupPath(this.#group)} is being committed already`);
    const controller = new AbortController();
    this.#controller = controller;
    this.#state = { ...idle, state: 'running' };
    const observer = this.#observer();
    this.#staging
      .commit(this.#group, { time, notes, observer, signal: controller.signal })
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
    const tell = (kind: 'log' | 'warning', text: string): void => {
      const all = [...this.#state.lines, { kind, text: text.slice(0, lineLengthMax) }];
      const lines = all.slice(-linesMax);
      this.#state = { ...this.#state, lines, linesBefore: this.#state.linesBefore + all.length - lines.length };
    };
    return {
      log: (line) => tell('log', line),
      warn: (line) => tell('warning', line),
      progress: (name, progress) => {
        this.#state = { ...this.#state, progress: { name, ...progress } };
      },
      finishedArchive: (result) => {
        this.#state = { ...this.#state, archives: [...this.#state.archives, result] };
      },
    };
  }
}

/** What a snapshot's directory can be called, or `now`. USAGE for anything else. */
export function timeOf(text: string | undefined): number {
  if (text === undefined || text === 'now') return Math.floor(Date.now() / 1000);
  const time = parseBackupTime(text);
  if (time === undefined || time < 1) throw new UsageError(`'${text}' is no time of a snapshot; write one like 2026-11-21T19:00:00Z, or now`);
  return time;
}
