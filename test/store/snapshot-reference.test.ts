import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { snapshotPath } from '../../src/format/snapshot-name.js';
import type { Datastore } from '../../src/store/datastore.js';
import { openDatastore } from '../../src/store/open.js';
import { referencePath, resolveReference } from '../../src/store/snapshot-reference.js';
import { storePath } from '../support/fixtures.js';
import { copyOfStore } from '../support/scratch.js';

let store: Datastore;

beforeAll(async () => {
  store = await openDatastore(storePath('sample'));
});
afterAll(() => store.close());

const resolve = (path: string, base: string[] = []) => resolveReference(store, Buffer.from(path), base);

describe('what a reference names', () => {
  test.each([
    ['vm/120/2021-05-24T16:16:06Z', 'vm/120/2021-05-24T16:16:06Z', ''],
    ['vm/120/2021-05-24T16:16', 'vm/120/2021-05-24T16:16:06Z', ''],
    ['/vm//120/./latest/', 'vm/120/2021-05-24T16:23:02Z', ''],
    ['ct/113/2021-05-28/root.pxar/etc/fstab', 'ct/113/2021-05-28T03:10:07Z', 'root.pxar/etc/fstab'],
    ['ct/113/x/../2021-05-28/root.pxar/../pct.conf', 'ct/113/2021-05-28T03:10:07Z', 'pct.conf'],
    ['ns/prod/vm/200/latest', 'ns/prod/vm/200/2021-05-26T01:30:00Z', ''],
    ['ns/prod/ns/eu/host/db/2/etc.pxar', 'ns/prod/ns/eu/host/db/2021-05-26T02:40:00Z', 'etc.pxar'],
    ['host/crashed/2021', 'host/crashed/2021-05-27T05:00:00Z', ''],
  ])('%s', async (path, expected, rest) => {
    const reference = await resolve(path);
    expect(reference.snapshot && snapshotPath(reference.snapshot)).toBe(expected);
    expect(referencePath(reference)).toBe(expected);
    expect(reference.rest.join('/')).toBe(rest);
  });

  test.each([
    ['', '', ''],
    ['..', '', ''],
    ['vm', 'vm', ''],
    ['vm/120', 'vm/120', ''],
    ['ns', '', 'ns'],
    ['ns/prod', 'ns/prod', ''],
    ['ns/prod/ns', 'ns/prod', 'ns'],
    ['ns/prod/ns/eu/vm', 'ns/prod/ns/eu/vm', ''],
    ['.pbsfs/status.json', '', '.pbsfs/status.json'],
  ])('%s, which is no snapshot', async (path, expected, rest) => {
    const reference = await resolve(path);
    expect(reference.snapshot).toBeUndefined();
    expect(referencePath(reference)).toBe(expected);
    expect(reference.rest.join('/')).toBe(rest);
  });

  test('from a namespace', async () => {
    const reference = await resolve('ns/eu/vm/201/latest', ['prod']);
    expect(reference.namespace).toEqual(['prod', 'eu']);
    expect(referencePath(reference, ['prod'])).toBe('ns/eu/vm/201/2021-05-26T02:30:00Z');
  });
});

describe('what is refused', () => {
  test.each([
    ['ns/none/vm/120', 'NOT_FOUND', /no namespace 'none' in the root namespace/],
    ['ns/prod/ns/none', 'NOT_FOUND', /no namespace 'none' in namespace prod/],
    ['vm/999/latest', 'NOT_FOUND', /no group vm\/999 in the root namespace/],
    ['ns/prod/vm/120', 'NOT_FOUND', /no group vm\/120 in namespace prod/],
    ['vm/120/2022', 'NOT_FOUND', /vm\/120 has no snapshot '2022' \(of 4, the newest is 2021-05-24T16:23:02Z\)/],
    ['host/crashed/latest', 'NOT_FOUND', /host\/crashed has no finished snapshot/],
    ['vm/120/2021', 'AMBIGUOUS', /fits 4 snapshots of vm\/120: 2021-05-24T16:09:24Z, 2021-05-24T16:16:06Z, 2021-05-24T16:18:06Z, 2021-05-24T16:23:02Z;/],
    ['vm/120/2021-05-24T16:1', 'AMBIGUOUS', /fits 2 snapshots/],
  ])('%s', async (path, code, message) => {
    await expect(resolve(path)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('bytes that no name can have', async () => {
    const path = Buffer.concat([Buffer.from('vm/'), Buffer.from([0xff, 0x0a])]);
    await expect(resolveReference(store, path)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

test('latest is the newest finished one, in a store that changes', async () => {
  const copy = copyOfStore('sample');
  const changing = await openDatastore(copy);
  try {
    rmSync(join(copy, 'vm/120/2021-05-24T16:23:02Z/index.json.blob'));
    const unfinished = await resolveReference(changing, Buffer.from('vm/120/latest'));
    expect(referencePath(unfinished)).toBe('vm/120/2021-05-24T16:18:06Z');
    renameSync(join(copy, 'vm/120/2021-05-24T16:18:06Z'), join(copy, 'vm/120/2021-06-01T00:00:00Z'));
    const newer = await resolveReference(changing, Buffer.from('vm/120/latest'));
    expect(referencePath(newer)).toBe('vm/120/2021-06-01T00:00:00Z');
  } finally {
    await changing.close();
  }
});
