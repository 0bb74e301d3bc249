/** What the sessions and the collection of one process let others do. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lockForCollecting, lockForWriting } from '../../src/store/local/process-lock.js';
import { canLock, holdLock } from '../support/lock-holder.js';
import { emptyStore } from '../support/new-snapshots.js';

const all = [true, true];
const writersOnly = [true, false];
const nobody = [false, false];

/** Whether another process may write, and whether it may collect. */
function free(directory: string): boolean[] {
  return (['shared', 'exclusive'] as const).map((kind) => canLock('records', kind, join(directory, '.lock')));
}

test('a collection beside writers, whatever ends first', () => {
  const directory = emptyStore();
  const [one, two] = [lockForWriting(directory, undefined), lockForWriting(directory, undefined)];
  expect(free(directory)).toEqual(writersOnly);
  const collector = lockForCollecting(directory, undefined);
  expect(free(directory)).toEqual(nobody);
  expect(lockForCollecting(directory, undefined)).toBeUndefined();
  one?.release();
  one?.release();
  const three = lockForWriting(directory, undefined);
  expect(free(directory)).toEqual(nobody);
  collector?.release();
  collector?.release();
  expect(free(directory)).toEqual(writersOnly);
  two?.release();
  expect(free(directory)).toEqual(writersOnly);
  const again = lockForCollecting(directory, undefined);
  three?.release();
  expect(free(directory)).toEqual(nobody);
  again?.release();
  expect(free(directory)).toEqual(all);
});

test.each(['shared', 'exclusive'] as const)('another process has it %s', async (kind) => {
  const directory = emptyStore();
  const release = await holdLock('records', kind, join(directory, '.lock'));
  expect(lockForCollecting(directory, undefined)).toBeUndefined();
  const writer = lockForWriting(directory, undefined);
  expect(writer !== undefined).toBe(kind === 'shared');
  expect(lockForCollecting(directory, undefined)).toBeUndefined();
  await release();
  writer?.release();
  expect(free(directory)).toEqual(all);
});

test('the oldest writer is known while it writes', () => {
  const directory = emptyStore();
  const before = Math.floor(Date.now() / 1000);
  const writer = lockForWriting(directory, undefined);
  const collector = lockForCollecting(directory, undefined);
  expect(collector?.oldestWriter).toBe(writer?.since);
  expect(writer?.since).toBeGreaterThanOrEqual(before);
  writer?.release();
  expect(collector?.oldestWriter).toBeUndefined();
  collector?.release();
  expect(free(directory)).toEqual(all);
});
