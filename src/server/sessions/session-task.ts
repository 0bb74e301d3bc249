/** A session as a task, and as lines of the audit log. */
import type { Call } from '../endpoint.js';
import type { Task, TaskOutcome } from '../tasks.js';
import { messageOf } from '../../errors.js';

export interface SessionTaskOptions {
  readonly type: 'backup' | 'reader';
  /** `store1:host/elsa`. */
  readonly id: string;
  readonly call: Pick<Call, 'context' | 'caller'>;
}

export class SessionTask {
  readonly task: Task;
  readonly #options: SessionTaskOptions;
  #end: (outcome: Error | TaskOutcome) => void = () => undefined;

  constructor(options: SessionTaskOptions) {
    const { type, id, call } = options;
    const ended = new Promise<TaskOutcome>((resolve, reject) => {
      this.#end = (outcome) => {
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
    });
    this.#options = options;
    this.task = call.context.tasks.start(type, id, call.caller, () => ended);
    audit(options, 'begin', 'ok');
  }

  /** OK, or why not. */
  end(failure?: Error): void {
    audit(this.#options, 'end', failure === undefined ? 'ok' : 'failed', failure === undefined ? undefined : messageOf(failure));
    this.#end(failure ?? 'OK');
  }
}

export function auditRefusal(options: SessionTaskOptions, reason: string): void {
  audit(options, 'begin', 'refused', reason);
}

function audit({ type, id, call: { context, caller } }: SessionTaskOptions, step: string, result: 'ok' | 'refused' | 'failed', reason?: string): void {
  context.audit.write({ who: caller.authId, from: caller.address, what: `${type}-${step}`, target: id, result, ...(reason !== undefined && { reason }) });
}
