/** Calls of the JSON API straight to their endpoints, as one caller or another. */
import type { Namespace } from '../../src/format/namespace.js';
import type { UserRecord } from '../../src/server/access/users.js';
import type { AuditRecord } from '../../src/server/audit-log.js';
import { privileges, type Caller, type Privilege } from '../../src/server/caller.js';
import { datastoreEndpoints } from '../../src/server/datastore/endpoints.js';
import type { Answer } from '../../src/server/endpoint.js';
import { refusalOf } from '../../src/server/failure.js';
import { Metrics } from '../../src/server/metrics.js';
import { checkParameters, formParameters } from '../../src/server/parameters.js';
import type { ServerContext } from '../../src/server/server-context.js';
import { TaskList } from '../../src/server/task-list.js';
import type { Datastore } from '../../src/store/datastore.js';

type Short = Privilege extends `Datastore.${infer Name}` ? Name : never;

/** By namespace (`''`: the root and all that is not named). */
export type Rights = Readonly<Record<string, readonly Short[]>>;

export const everything: Rights = { '': privileges.map((privilege) => privilege.slice('Datastore.'.length) as Short) };

export interface CallsOfDatastore {
  readonly audit: AuditRecord[];
  readonly lines: string[];
  readonly tasks: TaskList;
  /** `path`: `snapshots`. Rejects with a Refusal. */
  call(who: string, rights: Rights, method: string, path: string, parameters?: Readonly<Record<string, string | number | boolean>>, body?: Buffer): Promise<Answer>;
  /** As root. */
  root(method: string, path: string, parameters?: Readonly<Record<string, string | number | boolean>>, body?: Buffer): Promise<unknown>;
  /** `200`, or the status of the refusal. */
  status(who: string, rights: Rights, method: string, path: string, parameters?: Readonly<Record<string, string | number | boolean>>, body?: Buffer): Promise<number>;
}

/** `users`: tokens by user, who can be given what somebody owns. */
export function callsOf(datastore: Datastore, users: Readonly<Record<string, readonly string[]>> = {}): CallsOfDatastore {
  const [audit, lines, tasks]: [AuditRecord[], string[], TaskList] = [[], [], new TaskList()];
  const context: ServerContext = {
    stores: new Map([['store1', { name: 'store1', path: datastore.location, datastore }]]),
    users: { current: () => Promise.resolve(new Map(Object.entries(users).map(([id, tokens]) => [id, userWith(tokens)]))) },
    tasks,
    audit: { write: (record) => audit.push(record) },
    metrics: new Metrics(),
    log: (line) => lines.push(line),
  };
  const call: CallsOfDatastore['call'] = async (who, rights, method, path, { store = 'store1', ...parameters } = {}, body = Buffer.alloc(0)) => {
    const found = datastoreEndpoints.find((candidate) => candidate.method === method && candidate.path === `/admin/datastore/{store}/${path}`);
    if (found === undefined) throw new Error(`no ${method} ${path}`);
    const query = new URLSearchParams(Object.entries(parameters).map(([name, value]): [string, string] => [name, String(value)])).toString();
    try {
      const values = checkParameters(found.parameters, formParameters(query), new Map([['store', String(store)]]));
      return await found.run({ context, caller: callerOf(who, rights), parameters: values, body, signal: new AbortController().signal });
    } catch (error) {
      throw refusalOf(error, context);
    }
  };
  return {
    audit,
    lines,
    tasks,
    call,
    root: async (...rest) => {
      const answer = await call('root@pam', everything, ...rest);
      return 'data' in answer ? answer.data : answer;
    },
    status: async (...rest) => {
      try {
        await call(...rest);
        return 200;
      } catch (error) {
        return (error as { status: number }).status;
      }
    },
  };
}

function userWith(tokens: readonly string[]): UserRecord {
  return { password: undefined, grants: [], tokens: new Map(tokens.map((name) => [name, { secret: '', grants: [] }])) };
}

function callerOf(authId: string, rights: Rights): Caller {
  const privilegesOn = (store: string, namespace: Namespace): ReadonlySet<Privilege> => {
    const held = rights[namespace.join('/')] ?? rights[''] ?? [];
    return new Set(store === 'store1' ? held.map((name): Privilege => `Datastore.${name}`) : []);
  };
  const hasRightsBelow = (): boolean => Object.values(rights).some((held) => held.length > 0);
  return { authId, userId: authId.replace(/!.*/, ''), address: '127.0.0.1', isAdministrator: false, hasRightsBelow, privilegesOn };
}

/** Waits until the task has ended; gives its outcome and its lines. */
export async function ended({ tasks }: CallsOfDatastore, upid: unknown): Promise<{ outcome: string | undefined; text: string }> {
  for (;;) {
    const task = tasks.find(String(upid));
    if (task?.endtime !== undefined) return { outcome: task.outcome, text: task.lines.join('\n') };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
