/** Waiting that can be given up. */
import { expect, it } from 'vitest';
import { StoreError } from '../../../src/errors.js';
import { unlessAborted } from '../../../src/store/remote/back-off.js';

it.each([true, false])('what nobody waits for any more may fail, aborted before: %s', async (isBefore) => {
  const controller = new AbortController();
  const missed: unknown[] = [];
  const note = (reason: unknown): void => void missed.push(reason);
  process.on('unhandledRejection', note);
  try {
    const abort = (): void => {
      controller.abort(new StoreError('CLOSED', 'closed'));
    };
    if (isBefore) abort();
    let fail: (error: Error) => void = () => undefined;
    const waiting = unlessAborted(controller.signal, new Promise((_, reject) => (fail = reject)));
    if (!isBefore) abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
    fail(new StoreError('CLOSED', 'late'));
    await new Promise(setImmediate);
    expect(missed).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
  }
});
