/** The library's way to mount, in this process: nothing here may wait synchronously for the mount. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { mountDatastore } from '../../src/mount/mount-datastore.js';
import { mountRequest } from '../../src/mount/mount-request.js';
import { parseOptionString } from '../../src/mount/option-string.js';
import { keyPath, storePath } from '../support/fixtures.js';
import { canMount } from '../support/mounted-everything.js';
import { mountLines, mountPlace } from '../support/mounted-store.js';

const request = (source: string, mountPoint: string, words = '') => mountRequest(source, mountPoint, parseOptionString([words], { fromMountHelper: false }));

describe.skipIf(!canMount)('mountDatastore', () => {
  test.each(['kernel', 'fuse-native'])('mounts, tells of its driver, and ends when it is unmounted (%s)', async (driver) => {
    const { mountPoint } = mountPlace();
    const { mounted, done } = await mountDatastore(request(storePath('sample'), mountPoint, `driver=${driver}`), () => undefined);
    expect((await readdir(mountPoint)).sort()).toEqual(['ct', 'host', 'ns', 'vm']);
    expect(await readFile(join(mountPoint, '.pbsfs/status.json'), 'utf8')).toContain(`"name": "${driver}"`);
    expect(mounted.statistics().some(({ count }) => count > 0)).toBe(true);
    await mounted.unmount();
    await done;
    expect(mountLines(mountPoint)).toEqual([]);
  });

  test('keys: what is wrong with them is told before anything is mounted', async () => {
    const { mountPoint } = mountPlace();
    const wanted = { ...request(storePath('vault'), mountPoint), keyFiles: [keyPath('password.json')] };
    await expect(mountDatastore(wanted, () => undefined)).rejects.toMatchObject({ code: 'PASSWORD_REQUIRED' });
    await expect(mountDatastore({ ...wanted, password: Buffer.from('wrong password') }, () => undefined)).rejects.toMatchObject({ code: 'WRONG_PASSWORD' });
    expect(mountLines(mountPoint)).toEqual([]);
    const warnings: string[] = [];
    const right = { ...wanted, password: Buffer.from('correct horse battery staple') };
    const { mounted, done } = await mountDatastore(right, (line) => warnings.push(line));
    expect((await readdir(join(mountPoint, 'host/password/latest/root.pxar'))).length).toBeGreaterThan(0);
    expect(warnings).toEqual([expect.stringMatching(/can be read by others/)]);
    await mounted.unmount();
    await done;
  });

  test('a namespace that is not there', async () => {
    const { mountPoint } = mountPlace();
    await expect(mountDatastore(request(storePath('sample'), mountPoint, 'ns=none'), () => undefined)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
