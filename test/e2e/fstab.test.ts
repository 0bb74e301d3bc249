/** mount(8) and fstab: through mount.fuse3, which finds the command in $PATH, and through a link /sbin/mount.fuse.pbsfs. */
import { chmodSync, copyFileSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, isAlive, pbsfs, program, runProgram, start } from '../support/command.js';
import { expectedPath, keyPath, storePath } from '../support/fixtures.js';
import { canMount, hasProgram } from '../support/mounted-everything.js';
import { daemonOf, mountLines, mountPlace, type MountPlace } from '../support/mounted-store.js';
import { scratchDirectory } from '../support/scratch.js';

const sample = storePath('sample');
const vault = storePath('vault');
/** Of its own, as mount.fuse3 looks for the command only where the system has its programs. */
const name = `pbsfs-test-${process.pid}`;
const command = `/usr/local/bin/${name}`;
const helper = `/sbin/mount.fuse.${name}`;
const type = `fuse.${name}`;

let key: string;

beforeAll(() => {
  key = join(scratchDirectory(), 'key.json');
  copyFileSync(keyPath('plain.json'), key);
  chmodSync(key, 0o600);
  if (canMount) writeFileSync(command, `#!/bin/sh\nexec ${process.execPath} ${program} "$@"\n`, { mode: 0o755 });
});
afterAll(() => {
  rmSync(command, { force: true });
});

async function expectTree(place: MountPlace): Promise<void> {
  expect(readdirSync(place.mountPoint)).toContain('vm');
  const [line = ''] = mountLines(place.mountPoint);
  expect(line).toMatch(/ ro,(nosuid,nodev|nodev,nosuid)/);
  const pid = await daemonOf(place.mountPoint);
  expect((await runProgram('umount', [place.mountPoint])).status).toBe(0);
  await eventually(() => !isAlive(pid), 'the daemon ends');
}

const kinds = [
  { title: 'mount.fuse3', usable: canMount && hasProgram('mount.fuse3'), linked: false },
  { title: 'a link to pbsfs as mount helper', usable: canMount, linked: true },
];

describe.each(kinds)('through $title', ({ usable, linked }) => {
  beforeAll(() => {
    if (usable && linked) symlinkSync(command, helper);
  });
  afterAll(() => {
    if (usable && linked) rmSync(helper);
  });

  test.skipIf(!usable).each(['', 'ro', 'rw', 'defaults', 'ro,noauto,nofail,_netdev,x-systemd.automount,x-systemd.mount-timeout=30', 'user,noauto'])(
    'mount -o %s',
    async (words) => {
      const place = mountPlace();
      const options = [words, `log=${place.log}`].filter((word) => word !== '').join(',');
      expect(await runProgram('mount', ['-t', type, '-o', options, sample, place.mountPoint])).toMatchObject({ status: 0, stderr: '' });
      await expectTree(place);
    },
  );

  test.skipIf(!usable)('lines of fstab: keys, a namespace, a cache size, other users', async () => {
    const [one, two] = [mountPlace(), mountPlace()];
    const fstab = join(one.directory, 'fstab');
    writeFileSync(
      fstab,
      `${vault} ${one.mountPoint} ${type} ro,keyfile=${key},cache-size=32M,log=${one.log} 0 0\n` +
        `${sample} ${two.mountPoint} ${type} ro,ns=prod,allow_other,noexec,log=${two.log} 0 0\n`,
    );
    expect(await runProgram('mount', ['-T', fstab, '-a'])).toMatchObject({ status: 0, stderr: '' });
    const secret = 'host/secret/2021-06-01T10:00:00Z/secret.conf';
    expect(readFileSync(join(one.mountPoint, secret))).toEqual(readFileSync(expectedPath('vault', secret)));
    expect(readFileSync(join(one.mountPoint, '.pbsfs/status.json'), 'utf8')).toContain(String(32 * 2 ** 20));
    expect(readdirSync(two.mountPoint).sort()).toEqual(['host', 'ns', 'vm']);
    expect(mountLines(two.mountPoint)[0]).toMatch(/noexec.*allow_other/);
    for (const { mountPoint } of [one, two]) expect((await pbsfs(['umount', mountPoint])).status).toBe(0);
  });

  test.skipIf(!usable)('failures have a status and one line', async () => {
    const place = mountPlace();
    const mount = (source: string, options: string) => runProgram('mount', ['-t', type, '-o', `${options},log=${place.log}`, source, place.mountPoint]);
    for (const [source, options, message] of [
      ['/etc', 'ro', /not a datastore/],
      [sample, 'frobnicate', /'frobnicate'/],
      [sample, 'keyfile=/none', /\/none does not exist/],
      [sample, 'remount', /unmount it and mount it again/],
    ] as const) {
      const { status, stderr } = await mount(source, options);
      expect(status, options).not.toBe(0);
      expect(stderr).toMatch(message);
      expect(stderr.split('\n').filter((line) => line.startsWith('pbsfs: '))).toHaveLength(1);
    }
    expect(mountLines(place.mountPoint)).toEqual([]);
  });

});

test.skipIf(!canMount)('mount -f does not mount', async () => {
  const { mountPoint } = mountPlace();
  expect(await runProgram(process.execPath, [program, sample, mountPoint, '-f', '-n', '-o', 'rw', '-t', type])).toMatchObject({ status: 0, stderr: '' });
  expect(mountLines(mountPoint)).toEqual([]);
});

describe.skipIf(!canMount || !hasProgram('automount'))('autofs', () => {
  test('the first look mounts', async () => {
    const place = mountPlace();
    const { directory } = place;
    const auto = join(directory, 'auto');
    writeFileSync(join(directory, 'auto.pbsfs'), `pbs -fstype=${type},ro,log=${place.log} :${sample}\n`);
    writeFileSync(join(directory, 'auto.master'), `${auto} ${directory}/auto.pbsfs --timeout=60\n`);
    // The kernel keeps the automounter's own process group from mounting by looking.
    const automount = start('setsid', ['automount', '-f', '-p', join(directory, 'pid'), join(directory, 'auto.master')]);
    try {
      await eventually(() => mountLines(auto).length > 0, 'automount serves its directory');
      expect(readdirSync(join(auto, 'pbs'))).toContain('vm');
      expect(mountLines(join(auto, 'pbs'))).toHaveLength(1);
      expect((await runProgram('umount', [join(auto, 'pbs')])).status).toBe(0);
    } finally {
      automount.child.kill('SIGTERM');
      await automount.exited;
    }
  });
});
