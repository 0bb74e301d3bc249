/** What runs longer than a request, as clients see it: a UPID, a log, a status. Format: protocol, sections 1 and 8.1. */
import type { Caller } from './caller.js';

/** `OK`, `WARNINGS: n`, or an error's text. */
export type TaskOutcome = string;

export interface Task {
  readonly upid: string;
  log(line: string): void;
  /** Given when somebody ends the task, or the server. */
  readonly signal: AbortSignal;
}

export interface Tasks {
  /** Starts `work`; its rejection is the task's outcome. `type`: `backup`, `reader`, `garbage_collection`, `prune`... `id`: `store1:host/elsa`. */
  start(type: string, id: string | undefined, caller: Pick<Caller, 'authId'>, work: (task: Task) => Promise<TaskOutcome | undefined>): Task;
}
