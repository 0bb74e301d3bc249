/** Changes of a datastore, each with a line in the audit log. */
import { messageOf } from '../../errors.js';
import type { Administration } from '../../store/administration.js';
import type { Call } from '../endpoint.js';
import { Refusal } from '../refusal.js';
import type { ServedStore } from '../server-context.js';

const forbiddenStatuses: readonly number[] = [401, 403];

/** `work` has the permission checks in it. `target`: without the name of the store. */
export async function audited<T>({ context, caller }: Pick<Call, 'context' | 'caller'>, what: string, store: ServedStore, target: string, work: () => Promise<T>): Promise<T> {
  const record = { who: caller.authId, from: caller.address, what, target: target === '' ? store.name : `${store.name}:${target}` };
  try {
    const result = await work();
    context.audit.write({ ...record, result: 'ok' });
    return result;
  } catch (error) {
    const isRefused = error instanceof Refusal && forbiddenStatuses.includes(error.status);
    context.audit.write({ ...record, result: isRefused ? 'refused' : 'failed', reason: messageOf(error) });
    throw error;
  }
}

export function administrationOf({ context }: Pick<Call, 'context'>, { name, datastore }: ServedStore): Promise<Administration> {
  return datastore.administration((line) => {
    context.log(`${name}: ${line}`);
  });
}
