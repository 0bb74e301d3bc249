/** As an ordinary user. A mount namespace of its own has a /dev/fuse that users may open, as on any real system. */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { program, runProgram, type Ended } from '../support/command.js';
import { canMount, hasProgram, nobody } from '../support/mounted-everything.js';
import { mountPlace } from '../support/mounted-store.js';
import { copyOfStore } from '../support/scratch.js';

const sample = copyOfStore('sample');
chmodSync(sample, 0o755);
const hasFusermount = hasProgram('fusermount3');

interface UserPlace {
  readonly mountPoint: string;
  readonly home: string;
  /** Runs a script as the user; in it `pbsfs` is the command. */
  readonly run: (script: string) => Promise<Ended>;
}

function userPlace(): UserPlace {
  const { directory, mountPoint } = mountPlace();
  const home = join(directory, 'home');
  mkdirSync(home);
  for (const path of [home, mountPoint]) chownSync(path, nobody, nobody);
  writeFileSync(join(directory, 'pbsfs'), `#!/bin/sh\nexec ${process.execPath} ${program} "$@"\n`, { mode: 0o755 });
  return {
    mountPoint,
    home,
    run: (script) => {
      const device = join(directory, 'fuse');
      const before = `mknod -m 666 ${device} c 10 229 && mount --bind ${device} /dev/fuse`;
      const user = `setpriv --reuid ${nobody} --regid ${nobody} --clear-groups sh -c '${script}'`;
      return runProgram('unshare', ['-m', 'sh', '-c', `${before} && ${user}; status=$?; rm ${device}; exit $status`], {
        env: { HOME: home, PATH: `${directory}:${process.env.PATH ?? ''}`, XDG_STATE_HOME: '' },
      });
    },
  };
}

describe.skipIf(!canMount || !hasFusermount)('an ordinary user', () => {
  test.each(['kernel', 'fuse-native'])('mounts, reads, asks and unmounts (%s)', async (driver) => {
    const { mountPoint, run } = userPlace();
    const { status, stdout, stderr } = await run(
      `set -e; pbsfs mount --driver ${driver} ${sample} ${mountPoint}; ls ${mountPoint}; cat ${mountPoint}/vm/120/latest/qemu-server.conf | wc -c;
       grep ${mountPoint} /proc/self/mountinfo; pbsfs status; pbsfs umount ${mountPoint}; ls -A ${mountPoint} | wc -l`,
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^ct\nhost\nns\nvm\n[1-9]\d*\n/);
    expect(stdout).toMatch(new RegExp(`ro,nosuid,nodev.* - fuse\\.pbsfs .*user_id=${nobody}`));
    expect(stdout).toMatch(/00:00:\d\d +0\n0\n$/);
  });

  test('logs into the home directory', async () => {
    const { mountPoint, home, run } = userPlace();
    const { stdout } = await run(`pbsfs mount --json ${sample} ${mountPoint} && pbsfs umount ${mountPoint}`);
    expect((JSON.parse(stdout) as { log: string }).log).toContain(`${home}/.local/state/pbsfs/`);
  });

  test('busy: says who', async () => {
    const { mountPoint, run } = userPlace();
    const { stderr, stdout } = await run(
      `pbsfs mount ${sample} ${mountPoint}; (cd ${mountPoint} && exec sleep 100) & sleep 1; pbsfs umount ${mountPoint}; echo $?; pbsfs umount -l ${mountPoint}; echo $?; kill $!`,
    );
    expect(stdout).toBe('7\n0\n');
    expect(stderr).toMatch(/is in use by \d+ \(sleep: cwd /);
  });

  test('allow_other without user_allow_other: says what to do', async () => {
    const { mountPoint, run } = userPlace();
    const { status, stderr } = await run(`pbsfs mount --allow-other ${sample} ${mountPoint}`);
    expect([4, 6]).toContain(status);
    expect(stderr).toMatch(/^pbsfs: .*user_allow_other.*\n$/);
  });

  test('suid and dev are for root; a mount point of others is refused; a store of others is not readable', async () => {
    const { mountPoint, home, run } = userPlace();
    expect(await run(`pbsfs mount -o dev ${sample} ${mountPoint}`)).toMatchObject({ status: 4, stderr: expect.stringMatching(/only root/) });
    const foreign = await run(`pbsfs mount ${sample} /srv`);
    expect([4, 6]).toContain(foreign.status);
    expect(foreign.stderr).toMatch(/^pbsfs: .*\/srv[^\n]*\n$/);
    const closed = await run(`mkdir -p ${home}/store/.chunks && chmod 0 ${home}/store && pbsfs mount ${home}/store ${mountPoint}`);
    expect(closed).toMatchObject({ status: 4, stderr: expect.stringMatching(/permission/i) });
  });

  test('kill -9 leaves no dead mount point behind', async () => {
    const { mountPoint, run } = userPlace();
    const { stdout, stderr } = await run(
      `pid=$(pbsfs mount --json ${sample} ${mountPoint} | sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/"); kill -9 $pid; sleep 2; grep -c ${mountPoint} /proc/self/mountinfo; ls -A ${mountPoint} | wc -l`,
    );
    expect({ stdout, stderr }).toEqual({ stdout: '0\n0\n', stderr: '' });
  });
});

describe.skipIf(!canMount)('without fusermount3', () => {
  test('an ordinary user is told which package has it', async () => {
    const { mountPoint, run } = userPlace();
    const { status, stderr } = await run(`PATH=$(echo $PATH | cut -d: -f1):/nowhere; export PATH; pbsfs mount ${sample} ${mountPoint}`);
    expect([4, 6]).toContain(status);
    expect(stderr).toMatch(/^pbsfs: .*fuse3.*\n$/);
  });
});
