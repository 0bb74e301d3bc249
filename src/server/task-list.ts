/** The tasks of this server since it began, in memory: the last ones, and the beginnings of long logs. */
import { messageOf } from '../errors.js';
import { formatUpid, type Upid } from '../format/upid.js';
import type { Caller } from './caller.js';
import type { Task, TaskOutcome, Tasks } from './tasks.js';
import { nodeName, processStart } from './task-origin.js';

const tasksKeptMax = 500;
const logBytesMax = 256 * 1024;
const logLineLengthMax = 4096;

export interface TaskRecord extends Upid {
  readonly upid: string;
  readonly lines: readonly string[];
  /** Seconds since 1970; undefined while it runs. */
  readonly endtime: number | undefined;
  readonly outcome: TaskOutcome | undefined;
}

interface MutableRecord extends TaskRecord {
  lines: string[];
  logBytes: number;
  endtime: number | undefined;
  outcome: TaskOutcome | undefined;
  readonly abort: AbortController;
  done: Promise<void>;
}

export class TaskList implements Tasks {
  readonly #records = new Map<string, MutableRecord>();
  readonly #node = nodeName();
  readonly #pstart = processStart();
  #taskId = 0;

  start(type: string, id: string | undefined, { authId }: Pick<Caller, 'authId'>, work: (task: Task) => Promise<TaskOutcome | undefined>): Task {
    const upid = { node: this.#node, pid: process.pid, pstart: this.#pstart, taskId: this.#taskId++, starttime: nowS(), type, id, authId };
    const record: MutableRecord = { ...upid, upid: formatUpid(upid), lines: [], logBytes: 0, endtime: undefined, outcome: undefined, abort: new AbortController(), done: Promise.resolve() };
    this.#records.set(record.upid, record);
    this.#forgetOld();
    const task: Task = { upid: record.upid, signal: record.abort.signal, log: (line) => addLine(record, line) };
    record.done = this.#run(record, task, work);
    return task;
  }

  /** Newest first. */
  list(): readonly TaskRecord[] {
    return [...this.#records.values()].reverse();
  }

  find(upid: string): TaskRecord | undefined {
    return this.#records.get(upid);
  }

  /** Asks it to end; nothing happens to one that has. */
  abort(upid: string): void {
    this.#records.get(upid)?.abort.abort();
  }

  /** Asks all to end, and resolves when they have. */
  async abortAll(): Promise<void> {
    const running = [...this.#records.values()].filter(({ endtime }) => endtime === undefined);
    for (const { abort } of running) abort.abort();
    await Promise.all(running.map(({ done }) => done));
  }

  async #run(record: MutableRecord, task: Task, work: (task: Task) => Promise<TaskOutcome | undefined>): Promise<void> {
    let outcome: TaskOutcome;
    try {
      outcome = (await work(task)) ?? 'OK';
    } catch (error) {
      outcome = record.abort.signal.aborted ? `aborted: ${messageOf(error)}` : messageOf(error);
    }
    const isGood = outcome === 'OK' || outcome.startsWith('WARNINGS');
    addLine(record, isGood ? `TASK ${outcome}` : `TASK ERROR: ${outcome}`, { last: true });
    record.outcome = outcome;
    record.endtime = nowS();
  }

  #forgetOld(): void {
    for (const [upid, { endtime }] of this.#records) {
      if (this.#records.size <= tasksKeptMax) return;
      if (endtime !== undefined) this.#records.delete(upid);
    }
  }
}

/** What is too long is cut, and the end of a log that is too long is left out, but for its last line. */
function addLine(record: MutableRecord, text: string, { last = false } = {}): void {
  const line = `${new Date().toISOString().slice(0, 19)}Z: ${text.replace(/[\r\n]+/g, ' ').slice(0, logLineLengthMax)}`;
  const isFull = record.logBytes > logBytesMax;
  record.logBytes += line.length;
  if (!isFull || last) record.lines.push(line);
  else if (record.lines.at(-1) !== leftOut) record.lines.push(leftOut);
}

const leftOut = 'more lines are left out: the log is too long';

function nowS(): number {
  return Math.floor(Date.now() / 1000);
}
