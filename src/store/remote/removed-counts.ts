/** What a server says that it has removed, and what it means when it refuses after it has removed some. Format: protocol, sections 8.1 and 16. */
import { FileError } from '../../errors.js';
import type { JsonValue } from '../../format/json.js';
import { count, members } from '../../format/json-shape.js';
import type { RemovedCounts } from '../administration.js';
import { checked } from './listing-answers.js';
import { ServerRefusal } from './server-refusal.js';

/** Servers before 4.0 do not say what they have removed. */
export function countsOf(answer: JsonValue, otherwise: RemovedCounts): RemovedCounts {
  if (answer === null) return otherwise;
  return checked('what was removed', () => {
    const counts = members(answer, 'counts');
    const of = (name: string): number => count(counts[name], name);
    return { groups: of('removed-groups'), snapshots: of('removed-snapshots'), protectedSnapshots: of('protected-snapshots') };
  });
}

/** Of what was removed when the server refused to remove all: it does so after it has removed what it may. */
export function partly(error: unknown, before: RemovedCounts, left: RemovedCounts, skipProtected: boolean, what: string): RemovedCounts {
  if (!(error instanceof ServerRefusal) || left.protectedSnapshots === 0 || left.snapshots > 0) throw error;
  if (!skipProtected) throw isProtected(what, ` while ${left.protectedSnapshots} of its snapshots are`);
  return { groups: before.groups - left.groups, snapshots: before.snapshots, protectedSnapshots: left.protectedSnapshots };
}

export function isProtected(what: string, why = ''): FileError {
  return new FileError('NOT_PERMITTED', `${what} can't be removed${why === '' ? ': it is' : why} protected`);
}
