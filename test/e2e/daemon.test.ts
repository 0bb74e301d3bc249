/** The life of a mount's process: foreground and background, signals, crashes, readiness. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { eventually, isAlive, pbsfs, program, runProgram, start } from '../support/command.js';
import { storePath } from '../support/fixtures.js';
import { canMount, hasProgram } from '../support/mounted-everything.js';
import { daemonOf, mountAt, mountLines, mountPlace } from '../support/mounted-store.js';

const sample = storePath('sample');
const image = 'vm/120/latest/drive-scsi0.img';

describe.skipIf(!canMount)('in the foreground', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s unmounts and ends with 0', async (signal) => {
    const { mountPoint } = mountPlace();
    const mount = start(process.execPath, [program, 'mount', '--foreground', sample, mountPoint]);
    await mount.wrote(/is mounted on .*; Ctrl-C unmounts it/);
    expect(readdirSync(mountPoint)).toContain('vm');
    mount.child.kill(signal);
    expect(await mount.exited).toBe(0);
    expect(mountLines(mountPoint)).toEqual([]);
  });

  test('a signal that comes twice at once is one', async () => {
    const { mountPoint } = mountPlace();
    const mount = start(process.execPath, [program, 'mount', '-f', sample, mountPoint]);
    await mount.wrote(/is mounted/);
    mount.child.kill('SIGINT');
    mount.child.kill('SIGTERM');
    expect(await mount.exited).toBe(0);
  });

  test('a signal during the start', async () => {
    const { mountPoint } = mountPlace();
    const mount = start(process.execPath, [program, 'mount', '-f', sample, mountPoint]);
    await eventually(() => mountLines(mountPoint).length > 0, 'mounted');
    mount.child.kill('SIGTERM');
    expect(await mount.exited).toBe(0);
    expect(mountLines(mountPoint)).toEqual([]);
  });

  test('it ends when somebody else unmounts', async () => {
    const { mountPoint } = mountPlace();
    const mount = start(process.execPath, [program, 'mount', '-f', sample, mountPoint]);
    await mount.wrote(/is mounted/);
    expect((await runProgram('umount', [mountPoint])).status).toBe(0);
    expect(await mount.exited).toBe(0);
  });

  test('busy: the mount point is free at once, what is open is read on, and then it ends', async () => {
    const { mountPoint } = mountPlace();
    const mount = start(process.execPath, [program, 'mount', '-f', sample, mountPoint]);
    await mount.wrote(/is mounted/);
    const fd = openSync(join(mountPoint, image), 'r');
    mount.child.kill('SIGTERM');
    await mount.wrote(new RegExp(`in use by ${process.pid} \\(.*${image.slice(-10)}\\).*readable until it is closed`));
    expect(mountLines(mountPoint)).toEqual([]);
    expect(readSync(fd, Buffer.alloc(65536), 0, 65536, 50_000_000)).toBe(65536);
    expect(isAlive(mount.child.pid ?? 0)).toBe(true);
    closeSync(fd);
    expect(await mount.exited).toBe(0);
  });

  test('busy: a second signal ends it', async () => {
    const { mountPoint } = mountPlace();
    const mount = start(process.execPath, [program, 'mount', '-f', sample, mountPoint]);
    await mount.wrote(/is mounted/);
    const fd = openSync(join(mountPoint, image), 'r');
    mount.child.kill('SIGINT');
    await mount.wrote(/readable until it is closed/);
    await new Promise((resolve) => setTimeout(resolve, 600));
    mount.child.kill('SIGINT');
    expect(await mount.exited).toBe('SIGKILL');
    expect(mount.text()).toMatch(/SIGINT again: ending now/);
    expect(() => closeSync(fd)).toThrow(/ENOTCONN/);
  });

  test('a log that nobody reads does not end it', async () => {
    const { mountPoint } = mountPlace();
    const child = spawn('bash', ['-c', `exec ${process.execPath} ${program} mount -f ${sample} ${mountPoint} 2> /dev/full`], { stdio: 'ignore' });
    await eventually(() => mountLines(mountPoint).length > 0, 'mounted');
    await eventually(() => readdirSync(mountPoint).length > 0, 'readable');
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });
});

describe.skipIf(!canMount)('in the background', () => {
  test('the daemon has a session, a directory and descriptors of its own', async () => {
    const place = mountPlace();
    await mountAt(place, sample);
    const pid = await daemonOf(place.mountPoint);
    const [, fields = ''] = /\) (.*)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    expect(fields.split(' ')[3]).toBe(String(pid));
    const links = await runProgram('readlink', [`/proc/${pid}/cwd`, `/proc/${pid}/fd/0`, `/proc/${pid}/fd/1`, `/proc/${pid}/fd/2`]);
    expect(links.stdout.split('\n')).toEqual(['/', '/dev/null', place.log, place.log, '']);
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(-3)).toEqual([sample, place.mountPoint, '']);
  });

  test('it ends with its mount, and the log tells', async () => {
    const place = mountPlace();
    await mountAt(place, sample);
    const pid = await daemonOf(place.mountPoint);
    expect((await pbsfs(['umount', place.mountPoint])).status).toBe(0);
    await eventually(() => !isAlive(pid), 'ended');
    expect(readFileSync(place.log, 'utf8')).toMatch(/is mounted on [^]*is unmounted\n$/);
  });

  test.each([false, true])('kill -9 leaves no dead mount point behind (a file is open: %s)', async (open) => {
    const place = mountPlace();
    await mountAt(place, sample);
    const pid = await daemonOf(place.mountPoint);
    const fd = open ? openSync(join(place.mountPoint, image), 'r') : undefined;
    process.kill(pid, 'SIGKILL');
    await eventually(() => mountLines(place.mountPoint).length === 0, 'unmounted');
    expect(readdirSync(place.mountPoint)).toEqual([]);
    if (fd !== undefined) closeSync(fd);
    expect(await mountAt(place, sample)).toMatchObject({ status: 0, stderr: '' });
    expect(readdirSync(place.mountPoint)).toContain('vm');
  });

  test('whoever interrupts the command before the mount is ready has no mount', async () => {
    const place = mountPlace();
    const mount = start(process.execPath, [program, 'mount', sample, place.mountPoint, '--log', place.log]);
    await eventually(() => readdirSync(place.directory).includes('log'), 'started');
    mount.child.kill('SIGINT');
    await mount.exited;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(mountLines(place.mountPoint)).toEqual([]);
  });

  test('without --log it logs where the user keeps state', async () => {
    const place = mountPlace();
    const script = `${process.execPath} ${program} mount --json ${sample} ${place.mountPoint}`;
    const { stdout } = await runProgram('sh', ['-c', script]);
    const { log } = JSON.parse(stdout) as { log: string };
    expect(log).toBe(`/var/log/pbsfs/${place.mountPoint.slice(1).replaceAll('-', '\\x2d').replaceAll('/', '-')}.log`);
    expect(readFileSync(log, 'utf8')).toMatch(/is mounted on/);
    expect((await runProgram('rm', [log])).status).toBe(0);
  });
});

describe.skipIf(!canMount || !hasProgram('systemd-notify'))('systemd', () => {
  /** Prints what arrives at a notification socket. */
  const listener = `use Socket; socket(S, PF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un($ARGV[0])) or die; $| = 1; print "listening\\n";
    while (defined(recv(S, $m, 4096, 0))) { print "$m\\n"; }`;

  test.each([['foreground'], ['background']])('is told when a mount in the %s is ready', async (where) => {
    const place = mountPlace();
    const socket = join(place.directory, 'notify');
    const listening = start('perl', ['-e', listener, socket]);
    await listening.wrote(/listening/);
    const env = { NOTIFY_SOCKET: socket };
    if (where === 'background') {
      expect((await mountAt(place, sample, [], { env })).status).toBe(0);
      await listening.wrote(/READY=1/);
      expect(listening.text()).toContain(`MAINPID=${await daemonOf(place.mountPoint)}`);
    } else {
      const mount = start(process.execPath, [program, 'mount', '-f', sample, place.mountPoint], { env });
      await listening.wrote(/READY=1/);
      expect(mountLines(place.mountPoint)).toHaveLength(1);
      expect(listening.text()).toContain(`MAINPID=${mount.child.pid}`);
      mount.child.kill('SIGTERM');
      expect(await mount.exited).toBe(0);
    }
    listening.child.kill();
    await listening.exited;
  });

  test('that it was not told is no failure', async () => {
    const place = mountPlace();
    expect((await mountAt(place, sample, [], { env: { NOTIFY_SOCKET: '/none' } })).status).toBe(0);
    await eventually(() => /systemd was not told/.test(readFileSync(place.log, 'utf8')), 'logged');
  });

  test('the unit of docs/mounting.md is one', async () => {
    const text = readFileSync(new URL('../../docs/mounting.md', import.meta.url), 'utf8');
    const [, unit = ''] = /```ini\n(# [^\n]*pbsfs[^\n]*\.service\n[^]*?)```/.exec(text) ?? [];
    const place = mountPlace();
    const path = join(place.directory, 'pbsfs-test.service');
    writeFileSync(path, unit.replace(/ExecStart=\S+/, 'ExecStart=/bin/true'));
    expect(unit).toContain('Type=notify');
    expect(await runProgram('systemd-analyze', ['verify', '--man=no', path])).toMatchObject({ status: 0, stderr: '' });
  });
});
