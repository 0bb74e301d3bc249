/** A task of a server, from its beginning to its end. Format: protocol, section 8.1. */
import { StoreError } from '../../errors.js';
import type { JsonValue } from '../../format/json.js';
import { members, optional, text } from '../../format/json-shape.js';
import type { GarbageOptions } from '../administration.js';
import { wait } from './back-off.js';
import { checked, rows } from './listing-answers.js';
import type { ServerApi } from './server-api.js';

const pollMs = 1000;
const linesAtOnce = 500;

/** Gives the lines of its log to `log`, and resolves when it has ended well. REFUSED with its last words, INTERRUPTED when it was ended by `signal`. */
export async function followTask(api: ServerApi, started: JsonValue, { log, signal }: GarbageOptions): Promise<void> {
  const upid = checked('a task', () => text(started, 'the name of the task'));
  const path = `/nodes/localhost/tasks/${encodedCompletely(upid)}`;
  const begin = { next: 1 };
  try {
    for (;;) {
      const state = await api.call('GET', `${path}/status`);
      await tellLines(api, path, begin, log);
      const ended = checked('a task', () => endOf(state));
      if (ended === undefined) await wait(pollMs, signal);
      else if (ended === 'OK' || ended.startsWith('WARNINGS')) return;
      else throw new StoreError('REFUSED', `the server could not do it: ${ended}`);
    }
  } catch (error) {
    if (signal?.aborted === true) await api.call('DELETE', path).catch(() => undefined);
    throw error;
  }
}

/** Undefined while it runs. */
function endOf(answer: JsonValue): string | undefined {
  const state = members(answer, 'status');
  return text(state['status'], 'status') === 'running' ? undefined : (optional(text)(state['exitstatus'], 'exitstatus') ?? 'unknown');
}

async function tellLines(api: ServerApi, path: string, begin: { next: number }, log: (line: string) => void): Promise<void> {
  for (let got = linesAtOnce; got === linesAtOnce; ) {
    const page = await api.call('GET', `${path}/log`, { start: begin.next, limit: linesAtOnce });
    const lines = checked('a log', () => rows(page, 'log').map((row) => text(row['t'], 't')));
    lines.forEach(log);
    got = lines.length;
    begin.next += got;
  }
}

/** Every character that is no letter and no digit, as servers want it. */
function encodedCompletely(name: string): string {
  return Buffer.from(name).toString('latin1').replace(/[^A-Za-z0-9]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
