import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseBackupTime } from '../../src/format/backup-time.js';
import { keepPeriods, pruneMarks, type KeepOptions, type PruneCandidate, type PruneMark } from '../../src/format/prune.js';

const zone = process.env['TZ'];
beforeEach(() => {
  process.env['TZ'] = 'UTC';
});
afterEach(() => {
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
});

function at(text: string, flags = ''): PruneCandidate {
  return { time: parseBackupTime(`${text}:00Z`) ?? NaN, finished: !flags.includes('u'), protected: flags.includes('p') };
}

/** Datastore, section 13.8. */
const example: readonly [PruneCandidate, PruneMark][] = [
  [at('2024-01-03T12:00', 'u'), 'keep-partial'],
  [at('2024-01-03T06:00'), 'keep'],
  [at('2024-01-02T18:00', 'u'), 'remove'],
  [at('2024-01-02T12:00', 'p'), 'protected'],
  [at('2024-01-02T06:00'), 'keep'],
  [at('2024-01-01T12:00'), 'keep'],
  [at('2024-01-01T06:00'), 'remove'],
  [at('2023-12-31T12:00'), 'keep'],
  [at('2023-12-30T12:00'), 'remove'],
  [at('2023-12-24T12:00'), 'keep'],
  [at('2023-11-30T12:00'), 'keep'],
  [at('2022-06-01T12:00'), 'keep'],
];
const snapshots = example.map(([snapshot]) => snapshot);

function kept(marks: readonly PruneMark[]): string[] {
  return snapshots.filter((_, i) => marks[i] === 'keep').map(({ time }) => new Date(time * 1000).toISOString().slice(5, 13));
}

describe('prune', () => {
  test('all options at once', () => {
    expect(pruneMarks(snapshots, { last: 1, daily: 2, weekly: 2, monthly: 1, yearly: 1 })).toEqual(example.map(([, mark]) => mark));
  });

  test('one option', () => {
    expect(kept(pruneMarks(snapshots, { daily: 3 }))).toEqual(['01-03T06', '01-02T06', '01-01T12']);
    const yearly = pruneMarks(snapshots, { yearly: 1 });
    expect(kept(yearly)).toEqual(['01-03T06']);
    expect(yearly.filter((mark) => mark !== 'remove')).toEqual(['keep-partial', 'keep', 'protected']);
  });

  test('without an option nothing is removed', () => {
    expect(pruneMarks(snapshots, {})).not.toContain('remove');
  });

  test('days are those of the local time zone', () => {
    const two = [at('2024-01-01T03:00'), at('2024-01-01T12:00')];
    expect(pruneMarks(two, { daily: 5 })).toEqual(['remove', 'keep']);
    process.env['TZ'] = 'America/New_York';
    expect(pruneMarks(two, { daily: 5 })).toEqual(['keep', 'keep']);
  });

  test('ISO weeks at the turns of years', () => {
    const weeks = ['2020-12-28', '2021-01-03', '2021-01-04', '2018-12-31', '2019-01-06'].map((day) => at(`${day}T12:00`));
    expect(pruneMarks(weeks, { weekly: 9 })).toEqual(['remove', 'keep', 'keep', 'remove', 'keep']);
  });

  const candidates = fc.uniqueArray(
    fc.record({ time: fc.integer({ min: 1, max: 4e9 }), finished: fc.boolean(), protected: fc.boolean() }),
    { selector: ({ time }) => time, maxLength: 60 },
  );
  const count = fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined });
  const keeps = fc.record({ last: count, hourly: count, daily: count, weekly: count, monthly: count, yearly: count });

  test('whatever is asked: the newest finished stays, what is protected stays, no more than asked is kept, order is no matter', () => {
    fc.assert(
      fc.property(candidates, keeps, (list, keep: KeepOptions) => {
        const marks = pruneMarks(list, keep);
        const total = keepPeriods.reduce((sum, period) => sum + (keep[period] ?? 0), 0);
        list.forEach((snapshot, i) => {
          expect(marks[i] === 'protected').toBe(snapshot.protected);
        });
        if (total === 0) return;
        expect(marks.filter((mark) => mark === 'keep').length).toBeLessThanOrEqual(total);
        expect(marks.filter((mark) => mark === 'keep-partial').length).toBeLessThanOrEqual(1);
        const free = list.map((snapshot, i) => ({ ...snapshot, mark: marks[i] })).filter((snapshot) => snapshot.finished && !snapshot.protected);
        const newest = free.reduce<(typeof free)[number] | undefined>((a, b) => (a === undefined || b.time > a.time ? b : a), undefined);
        expect(newest?.mark ?? 'keep').toBe('keep');
        expect(pruneMarks([...list].reverse(), keep).reverse()).toEqual(marks);
      }),
    );
  });
});
