/** The decision about each file in `.chunks`. Format: datastore, section 13.10. */
import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Progress } from '../../src/store/local/garbage/progress.js';
import { Sweeping } from '../../src/store/local/garbage/sweeping.js';
import { emptyStore } from '../support/new-snapshots.js';

const began = 1_700_000_000;
const cutoff = 1_699_913_300;

function sweep(directory: string): Sweeping['counters'] {
  const sweeping = new Sweeping({ began, cutoff }, new Progress(() => undefined, new Int32Array(1)));
  sweeping.run(directory);
  return sweeping.counters;
}

function chunk(directory: string, n: number, atime: number, suffix = ''): string {
  const name = n.toString(16).padStart(64, '0') + suffix;
  const path = join(directory, '.chunks', name.slice(0, 4), name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'x');
  utimesSync(path, atime, 1);
  return path;
}

test('the seconds at which it changes', () => {
  const directory = emptyStore();
  const times = [1_699_913_299, 1_699_913_299.9, 1_699_913_300, 1_699_999_999.9, 1_700_000_000];
  const paths = times.map((time, n) => chunk(directory, n, time));
  expect(sweep(directory)).toMatchObject({ removedChunks: 2, removedBytes: 2, pendingChunks: 2, pendingBytes: 2, diskChunks: 1, diskBytes: 1 });
  expect(paths.map(existsSync)).toEqual([false, false, true, true, true]);
});

test('whatever the times: each file is counted once, and only what is older than the cutoff is gone', () => {
  const file = fc.record({ age: fc.integer({ min: -100, max: 200_000 }), bad: fc.boolean() });
  fc.assert(
    fc.property(fc.array(file, { maxLength: 12 }), (files) => {
      const directory = emptyStore();
      const paths = files.map(({ age, bad }, n) => chunk(directory, n, began - age, bad ? '.4.bad' : ''));
      const counters = sweep(directory);
      files.forEach(({ age }, n) => {
        expect(existsSync(paths[n] ?? '')).toBe(age <= began - cutoff);
      });
      const recentBad = files.filter(({ age, bad }) => bad && age <= 0).length;
      expect(counters.diskChunks + counters.pendingChunks + counters.removedChunks + counters.removedBad + counters.stillBad + recentBad).toBe(files.length);
      expect(counters.diskBytes + counters.pendingBytes + counters.removedBytes + counters.stillBad).toBe(files.length);
    }),
  );
});
