/** Tasks as clients follow them. Format: protocol, section 8.1. */
import type { JsonObject } from '../../format/json.js';
import { owns, type Caller } from '../caller.js';
import { endpoint, type Endpoint, type ParameterValues } from '../endpoint.js';
import { Refusal } from '../refusal.js';
import type { TaskList, TaskRecord } from '../task-list.js';

const listLimit = 50;
const logLimit = 50;

const listParameters = {
  running: { kind: 'boolean', optional: true },
  start: { kind: 'integer', optional: true, min: 0 },
  limit: { kind: 'integer', optional: true, min: 0 },
  userfilter: { kind: 'string', optional: true },
  store: { kind: 'string', optional: true },
  typefilter: { kind: 'string', optional: true },
  statusfilter: { kind: 'strings', optional: true, countMax: 4, check: (value) => (['ok', 'warning', 'error', 'unknown'].includes(value) ? undefined : 'is none of ok, warning, error, unknown') },
  since: { kind: 'integer', optional: true },
  until: { kind: 'integer', optional: true },
  errors: { kind: 'boolean', optional: true },
} as const satisfies Endpoint['parameters'];

export function taskEndpoints(tasks: TaskList): readonly Endpoint[] {
  const list = endpoint({
    method: 'GET',
    path: '/nodes/localhost/tasks',
    parameters: listParameters,
    run: ({ caller, parameters }) => {
      const found = tasks.list().filter((task) => maySee(caller, task) && fits(task, parameters));
      const { start = 0, limit = listLimit } = parameters;
      const page = found.slice(start, limit === 0 ? undefined : start + limit);
      return Promise.resolve({ data: page.map(itemOf), beside: { total: found.length }, form: 'chunked' as const });
    },
  });
  const log = endpoint({
    method: 'GET',
    path: '/nodes/localhost/tasks/{upid}/log',
    parameters: {
      upid: { kind: 'string' },
      start: { kind: 'integer', optional: true, min: 0 },
      limit: { kind: 'integer', optional: true, min: 0 },
      'test-status': { kind: 'boolean', optional: true },
    },
    run: ({ caller, parameters: { upid, start = 0, limit = logLimit, 'test-status': testStatus = false } }) => {
      const { lines, endtime } = visible(tasks, caller, upid);
      const first = Math.max(start, 1) - 1;
      const page = lines.slice(first, limit === 0 ? undefined : first + limit);
      const data = page.map((t, i) => ({ n: first + i + 1, t }));
      return Promise.resolve({ data, beside: { total: lines.length, success: 1, ...(testStatus && { active: endtime === undefined }) }, form: 'plain' as const });
    },
  });
  const status = endpoint({
    method: 'GET',
    path: '/nodes/localhost/tasks/{upid}/status',
    parameters: { upid: { kind: 'string' } },
    run: ({ caller, parameters: { upid } }) => Promise.resolve({ data: statusOf(visible(tasks, caller, upid)) }),
  });
  const stop = endpoint({
    method: 'DELETE',
    path: '/nodes/localhost/tasks/{upid}',
    parameters: { upid: { kind: 'string' } },
    run: ({ context: { audit }, caller, parameters: { upid } }) => {
      visible(tasks, caller, upid);
      tasks.abort(upid);
      audit.write({ who: caller.authId, from: caller.address, what: 'task-stop', target: upid, result: 'ok' });
      return Promise.resolve({ data: null });
    },
  });
  return [list, log, status, stop];
}

function maySee(caller: Caller, { authId }: TaskRecord): boolean {
  return caller.isAdministrator || owns(caller, authId);
}

/** 400 if there is none, 403 if it is another's. */
function visible(tasks: TaskList, caller: Caller, upid: string): TaskRecord {
  const task = tasks.find(upid);
  if (task === undefined) throw new Refusal(400, 'there is no such task, or no more');
  if (!maySee(caller, task)) throw new Refusal(403, "the task is another user's");
  return task;
}

function fits(task: TaskRecord, wanted: ParameterValues<typeof listParameters>): boolean {
  const state = stateOf(task);
  if (wanted.running === true && task.endtime !== undefined) return false;
  if (wanted.errors === true && (state === 'ok' || task.endtime === undefined)) return false;
  if (wanted.statusfilter !== undefined && !wanted.statusfilter.includes(state)) return false;
  if (wanted.store !== undefined && task.id !== wanted.store && task.id?.startsWith(`${wanted.store}:`) !== true) return false;
  if (!task.authId.includes(wanted.userfilter ?? '') || !task.type.includes(wanted.typefilter ?? '')) return false;
  return task.starttime >= (wanted.since ?? -Infinity) && task.starttime <= (wanted.until ?? Infinity);
}

function stateOf({ outcome }: TaskRecord): string {
  if (outcome === undefined) return 'unknown';
  return outcome === 'OK' ? 'ok' : outcome.startsWith('WARNINGS') ? 'warning' : 'error';
}

function itemOf({ upid, node, pid, pstart, starttime, type, id, authId, endtime, outcome }: TaskRecord): JsonObject {
  const end = { ...(endtime !== undefined && { endtime }), ...(outcome !== undefined && { status: outcome }) };
  return { upid, node, pid, pstart, starttime, worker_type: type, worker_id: id ?? null, user: authId, ...end };
}

function statusOf({ upid, node, pid, pstart, starttime, type, id, authId, outcome }: TaskRecord): JsonObject {
  const mark = authId.lastIndexOf('!');
  const who = mark === -1 ? { user: authId } : { user: authId.slice(0, mark), tokenid: authId.slice(mark + 1) };
  const state = outcome === undefined ? { status: 'running' } : { status: 'stopped', exitstatus: outcome };
  return { upid, node, pid, pstart, starttime, type, id: id ?? null, ...who, ...state };
}
