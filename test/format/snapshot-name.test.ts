import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  backupTypes,
  compareGroups,
  groupPath,
  isBackupId,
  isBackupType,
  parseSnapshotPath,
  snapshotPath,
  type BackupType,
  type GroupName,
} from '../../src/format/snapshot-name.js';
import { expectedStore, fixtureStores } from '../support/stored-files.js';

describe.each(fixtureStores)('snapshots of %s', (store) => {
  test.each(expectedStore(store).snapshots)('$path', ({ path, ns, type, id, epoch }) => {
    const snapshot = parseSnapshotPath(path);
    expect(snapshot).toEqual({ namespace: ns === '' ? [] : ns.split('/'), type, id, time: epoch });
    if (snapshot !== undefined) expect(snapshotPath(snapshot)).toBe(path);
  });
});

test('the path of section 13.7', () => {
  expect(snapshotPath({ namespace: [], type: 'vm', id: '100', time: 1700000000 })).toBe('vm/100/2023-11-14T22:13:20Z');
  expect(groupPath({ namespace: ['a', 'b'], type: 'host', id: 'web1' })).toBe('ns/a/ns/b/host/web1');
});

test('any name comes back from its path', () => {
  const id = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,30}$/);
  const name = fc.record({
    namespace: fc.array(id, { maxLength: 7 }),
    type: fc.constantFrom(...backupTypes),
    id,
    time: fc.integer({ min: 0, max: 253402300799 }),
  });
  fc.assert(
    fc.property(name, (snapshot) => {
      expect(parseSnapshotPath(snapshotPath(snapshot))).toEqual(snapshot);
    }),
  );
});

test.each([
  '',
  'vm/100',
  'vm/100/latest',
  'qm/100/2023-11-14T22:13:20Z',
  'vm/.100/2023-11-14T22:13:20Z',
  'vm/../2023-11-14T22:13:20Z',
  'vm/100/2023-02-30T22:13:20Z',
  '/vm/100/2023-11-14T22:13:20Z',
  'vm/100/2023-11-14T22:13:20Z/',
  'a/vm/100/2023-11-14T22:13:20Z',
  'ns/vm/100/2023-11-14T22:13:20Z',
  'ns/../vm/100/2023-11-14T22:13:20Z',
  'ns/1/ns/2/ns/3/ns/4/ns/5/ns/6/ns/7/ns/8/vm/100/2023-11-14T22:13:20Z',
])('%j is no path of a snapshot', (path) => {
  expect(parseSnapshotPath(path)).toBeUndefined();
});

test('types and ids', () => {
  expect(['ct', 'host', 'vm'].every(isBackupType)).toBe(true);
  expect(['', 'VM', 'toString', 'ns'].some(isBackupType)).toBe(false);
  expect(['100', '_a', 'a.b-c_d', 'a'.repeat(255)].every(isBackupId)).toBe(true);
  expect(['', '.', '..', '-a', 'a/b', 'a b', 'a\0', 'a\n', '\u00e4', 'a'.repeat(256)].some(isBackupId)).toBe(false);
});

describe('order of groups', () => {
  const group = (type: BackupType, id: string): GroupName => ({ namespace: [], type, id });

  test('types, then numbers by value, then the rest by bytes', () => {
    const ordered = [
      group('ct', '9'),
      group('ct', '100'),
      group('host', '0'),
      group('host', '007'),
      group('host', '7'),
      group('host', '18446744073709551615'),
      group('host', '0018446744073709551616'),
      group('host', '18446744073709551616'),
      group('host', '7a'),
      group('host', 'B'),
      group('host', '_'),
      group('host', 'a'),
      group('host', 'a-'),
      group('host', 'aa'),
      group('vm', '1'),
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray(ordered), (some) => {
        expect(some.toSorted(compareGroups)).toEqual(ordered.filter((one) => some.includes(one)));
      }),
    );
  });

  test('is total', () => {
    const any = fc.record({ type: fc.constantFrom(...backupTypes), id: fc.stringMatching(/^[0-9a]{1,4}$/) });
    fc.assert(
      fc.property(any, any, any, (one, two, three) => {
        const [a, b, c] = [one, two, three].map(({ type, id }) => group(type, id)).toSorted(compareGroups);
        if (a === undefined || b === undefined || c === undefined) throw new Error('three groups');
        for (const [x, y] of [[a, b], [b, c], [a, c]] as const) {
          expect(compareGroups(x, y)).toBeLessThanOrEqual(0);
          expect(compareGroups(x, y) === 0).toBe(x.type === y.type && x.id === y.id);
        }
      }),
    );
  });
});
