import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { groupLockName, manifestLockName, nestedManifestLockName, snapshotLockName } from '../../src/format/lock-name.js';
import type { SnapshotName } from '../../src/format/snapshot-name.js';

const snapshot: SnapshotName = { namespace: [], type: 'vm', id: '100', time: 1700000000 };

/** Section 13.9. */
test('vectors', () => {
  expect(groupLockName(snapshot)).toBe('vm-100');
  expect(snapshotLockName(snapshot)).toBe('vm-100-2023\\x2d11\\x2d14T22\\x3a13\\x3a20Z');
  expect(manifestLockName(snapshot)).toBe('vm-100-2023\\x2d11\\x2d14T22\\x3a13\\x3a20Z-.index.json.lck');
  expect(groupLockName({ namespace: ['a', 'b'], type: 'host', id: 'my-host.example_1' })).toBe('a:b/host-my\\x2dhost.example_1');
});

test('servers before 4.0 nest the lock of a manifest', () => {
  expect(nestedManifestLockName({ ...snapshot, namespace: ['a'] })).toBe(
    'ns/a/vm/100/2023-11-14T22:13:20Z/2023-11-14T22:13:20Z.index.json.lck',
  );
});

test('a name of 255 characters and more is shortened around a hash', () => {
  const group = (length: number) => ({ namespace: ['a'], type: 'vm' as const, id: 'x'.repeat(length) });
  expect(groupLockName(group(251))).toBe(`a/vm-${'x'.repeat(251)}`);
  const hash = createHash('sha256').update(`vm/${'x'.repeat(252)}`).digest('hex');
  expect(groupLockName(group(252))).toBe(`a/hashed/vm-${'x'.repeat(77)}...${'x'.repeat(80)}-${hash}`);
  const dashes = { namespace: [], type: 'ct' as const, id: `a${'-'.repeat(100)}` };
  expect(groupLockName(dashes)).toMatch(/^hashed\/ct-a(?:\\x2d){19}\.\.\.(?:\\x2d){20}-[0-9a-f]{64}$/);
});
