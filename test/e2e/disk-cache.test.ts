/** Mounts with a disk cache, by the command. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { pbsfs } from '../support/command.js';
import { keyPath, storePath } from '../support/fixtures.js';
import { canMount } from '../support/mounted-everything.js';
import { mountAt, mountLines, mountPlace } from '../support/mounted-store.js';
import { copyOfStore } from '../support/scratch.js';

interface Figures {
  readonly hits: number;
  readonly misses: number;
  readonly kept: number;
  readonly dropped: number;
  readonly files: number;
}

async function figuresOf(mountPoint: string): Promise<Figures> {
  const { stdout } = await pbsfs(['status', '--json', mountPoint]);
  return (JSON.parse(stdout) as { status: { cache: { diskCache: Figures } } }).status.cache.diskCache;
}

/** Of all files of the archives of a group, by a program that may wait for the mount. */
function sumOf(mountPoint: string, path: string): string {
  return execFileSync('sh', ['-c', `find ${path} -type f -print0 | sort -z | xargs -0 sha256sum`], { cwd: mountPoint, encoding: 'utf8', maxBuffer: 1 << 28 });
}

describe.skipIf(!canMount)('a disk cache', () => {
  test('has what was read before, also when the chunks are not in the store any more', async () => {
    const store = copyOfStore('vault');
    const [first, second] = [mountPlace(), mountPlace()];
    const cache = join(first.directory, 'cache');
    const args = ['--keyfile', keyPath('plain.json'), '--disk-cache', cache, '--disk-cache-size', '1G'];
    expect(await mountAt(first, store, args)).toMatchObject({ status: 0, stderr: '' });
    const sums = sumOf(first.mountPoint, 'host/secret/latest/');
    expect(sums.split('\n').length).toBeGreaterThan(3);
    const before = await figuresOf(first.mountPoint);
    expect(before.kept).toBeGreaterThan(0);
    expect(before).toMatchObject({ hits: 0, dropped: 0, files: before.kept });
    expect(statSync(cache).mode & 0o777).toBe(0o700);

    const refused = await mountAt(second, store, args);
    expect(refused.status).toBe(7);
    expect(refused.stderr).toMatch(/disk cache .* is used by another mount; give each mount a directory of its own/);
    expect(mountLines(second.mountPoint)).toEqual([]);
    expect(await pbsfs(['umount', first.mountPoint])).toMatchObject({ status: 0, stderr: '' });

    execFileSync('sh', ['-c', `rm ${store}/.chunks/*/*`]);
    expect(await mountAt(second, store, args)).toMatchObject({ status: 0, stderr: '' });
    expect(sumOf(second.mountPoint, 'host/secret/latest/')).toBe(sums);
    expect(await figuresOf(second.mountPoint)).toMatchObject({ misses: 0, dropped: 0, kept: 0, files: before.files });
    expect(readFileSync(join(second.mountPoint, '.pbsfs/metrics'), 'utf8')).toMatch(/^pbsfs_disk_cache_hits_total [1-9]/m);
    expect((await pbsfs(['status', second.mountPoint])).stdout).toMatch(/^disk cache +\/.*\/cache: .* of 1.0 GiB, 100.0 % of requests found$/m);
    expect(await pbsfs(['umount', second.mountPoint])).toMatchObject({ status: 0, stderr: '' });
  });

  test('cannot be in the datastore, nor below the mount point, nor among other files', async () => {
    const store = copyOfStore('sample');
    const place = mountPlace();
    const names = readdirSync(store);
    expect(await mountAt(place, store, ['--disk-cache', join(store, 'cache')])).toMatchObject({ status: 2 });
    expect(readdirSync(store)).toEqual(names);
    expect(await mountAt(place, store, ['--disk-cache', join(place.mountPoint, 'cache')])).toMatchObject({ status: 6 });
    expect(readdirSync(place.mountPoint)).toEqual([]);
    expect(await mountAt(place, store, ['--disk-cache', '/etc'])).toMatchObject({ status: 8 });
    expect(mountLines(place.mountPoint)).toEqual([]);
    expect(await mountAt(place, storePath('sample'), ['-o', `disk-cache=${join(place.directory, 'cache')},disk-cache-size=64M`])).toMatchObject({ status: 0, stderr: '' });
  });
});
