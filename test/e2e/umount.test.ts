/** `pbsfs umount` and `pbsfs status`, of mounts that are busy, gone, stopped or not ours. */
import { closeSync, openSync, readSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { eventually, isAlive, pbsfs, runProgram, start } from '../support/command.js';
import { storePath } from '../support/fixtures.js';
import { canMount } from '../support/mounted-everything.js';
import { daemonOf, mountAt, mountLines, mountPlace } from '../support/mounted-store.js';

const sample = storePath('sample');

describe.skipIf(!canMount)('umount', () => {
  test('a working directory in the mount: who it is, status 7, and the mount stays', async () => {
    const place = mountPlace();
    await mountAt(place, sample);
    const shell = start('sleep', ['100'], { cwd: join(place.mountPoint, 'vm/120') });
    const { status, stderr } = await pbsfs(['umount', place.mountPoint]);
    expect(status).toBe(7);
    expect(stderr).toBe(`pbsfs: ${place.mountPoint} is in use by ${shell.child.pid} (sleep: cwd ${place.mountPoint}/vm/120); end them, or free the mount point now with --lazy\n`);
    expect(mountLines(place.mountPoint)).toHaveLength(1);
    shell.child.kill();
    await shell.exited;
    expect(await pbsfs(['umount', place.mountPoint])).toMatchObject({ status: 0, stderr: '' });
  });

  test('an open file; --lazy frees the mount point, and the file is read on', async () => {
    const place = mountPlace();
    await mountAt(place, sample);
    const pid = await daemonOf(place.mountPoint);
    const fd = openSync(join(place.mountPoint, 'vm/120/latest/drive-scsi1.img'), 'r');
    expect(await pbsfs(['umount', place.mountPoint])).toMatchObject({ status: 7, stderr: expect.stringMatching(new RegExp(`${process.pid} .*drive-scsi1\\.img`)) });
    expect(await pbsfs(['umount', '--lazy', place.mountPoint])).toMatchObject({ status: 0, stderr: '' });
    expect(readdirSync(place.mountPoint)).toEqual([]);
    expect(readSync(fd, Buffer.alloc(4096), 0, 4096, 1_000_000)).toBe(4096);
    expect(isAlive(pid)).toBe(true);
    closeSync(fd);
    await eventually(() => !isAlive(pid), 'the daemon ends with the last file');
  });

  test('what is not there, and what is not ours', async () => {
    const { mountPoint } = mountPlace();
    expect(await pbsfs(['umount', mountPoint])).toMatchObject({ status: 3, stderr: `pbsfs: nothing is mounted on ${mountPoint}; pbsfs status lists what is\n` });
    expect(await pbsfs(['umount', '/none'])).toMatchObject({ status: 3 });
    expect(await pbsfs(['umount', '/proc'])).toMatchObject({ status: 3, stderr: expect.stringMatching(/is proc, not a datastore; use umount/) });
    expect(await pbsfs(['umount', '--json', mountPoint])).toMatchObject({ status: 3, stderr: expect.stringMatching(/"code":"NOT_MOUNTED"/) });
  });

  test('mounts of one store on two places do not touch each other', async () => {
    const places = [mountPlace(), mountPlace()] as const;
    for (const place of places) expect((await mountAt(place, sample)).status).toBe(0);
    expect((await pbsfs(['umount', '--json', places[0].mountPoint])).stdout).toBe(`{"mountPoint":"${places[0].mountPoint}","unmounted":true}\n`);
    expect(readdirSync(places[1].mountPoint)).toContain('vm');
  });
});

describe.skipIf(!canMount)('status', () => {
  test('of what is not mounted', async () => {
    const { mountPoint } = mountPlace();
    expect(await pbsfs(['status', mountPoint])).toMatchObject({ status: 3, stderr: expect.stringMatching(/no datastore is mounted on/) });
  });

  test('a daemon that does not answer is told within seconds, and can be unmounted', async () => {
    const place = mountPlace();
    await mountAt(place, sample);
    const pid = await daemonOf(place.mountPoint);
    process.kill(pid, 'SIGSTOP');
    const began = performance.now();
    expect(await pbsfs(['status', place.mountPoint])).toMatchObject({ status: 6, stderr: expect.stringMatching(/no answer in 3 seconds/) });
    expect((await pbsfs(['status'])).stdout).toMatch(new RegExp(`^${place.mountPoint} .*no answer`, 'm'));
    expect(performance.now() - began).toBeLessThan(15_000);
    expect((await pbsfs(['umount', place.mountPoint])).status).toBe(0);
    process.kill(pid, 'SIGCONT');
    await eventually(() => !isAlive(pid), 'ended');
  });

  test('JSON has all that status.json has', async () => {
    const place = mountPlace();
    await mountAt(place, sample);
    await runProgram('cat', [join(place.mountPoint, 'vm/120/latest/drive-scsi1.img')]);
    const { stdout } = await pbsfs(['status', '--json']);
    const mine = stdout.split('\n').find((line) => line.includes(place.mountPoint)) ?? '{}';
    expect(JSON.parse(mine)).toMatchObject({
      mountPoint: place.mountPoint,
      source: sample,
      options: expect.arrayContaining(['ro', 'nosuid', 'nodev']),
      status: { source: sample, damagedChunks: 0, driver: { name: 'kernel', operations: expect.arrayContaining([expect.objectContaining({ name: 'read' })]) } },
    });
  });
});
