/** Mounting by the command: what it takes, what it refuses, and with which exit status. */
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { pbsfs, program, runProgram } from '../support/command.js';
import { expectedPath, keyPath, storePath } from '../support/fixtures.js';
import { canMount, nobody } from '../support/mounted-everything.js';
import { daemonOf, mountAt, mountLines, mountPlace } from '../support/mounted-store.js';
import { copyOfStore, scratchDirectory } from '../support/scratch.js';

const sample = storePath('sample');
const vault = storePath('vault');
const password = 'correct horse battery staple';

let plainKey: string;
let passwordKey: string;

beforeAll(() => {
  const directory = scratchDirectory();
  plainKey = join(directory, 'plain.json');
  passwordKey = join(directory, 'password.json');
  copyFileSync(keyPath('plain.json'), plainKey);
  copyFileSync(keyPath('password.json'), passwordKey);
  for (const key of [plainKey, passwordKey]) chmodSync(key, 0o600);
});

describe.skipIf(!canMount)('mounting in the background', () => {
  test('when the command returns, the tree is there', async () => {
    const place = mountPlace();
    expect(await mountAt(place, sample)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(readdirSync(place.mountPoint).sort()).toEqual(['ct', 'host', 'ns', 'vm']);
    expect(readFileSync(join(place.mountPoint, 'vm/120/latest/qemu-server.conf'))).toEqual(
      readFileSync(expectedPath('sample', 'vm/120/2021-05-24T16:23:02Z/qemu-server.conf')),
    );
    expect(await pbsfs(['umount', place.mountPoint])).toMatchObject({ status: 0, stderr: '' });
    expect(mountLines(place.mountPoint)).toEqual([]);
  });

  test('safe by default; noexec and the like as typed', async () => {
    const place = mountPlace();
    await mountAt(place, sample, ['-o', 'ro,noexec,x-systemd.automount', '-o', 'noatime,nofail']);
    const [line = ''] = mountLines(place.mountPoint);
    expect(line).toMatch(/ ro,nosuid,nodev,noexec,noatime - fuse\.pbsfs /);
    expect(line).not.toMatch(/allow_other/);
    const options = await runProgram('setpriv', ['--reuid', String(nobody), '--clear-groups', 'ls', place.mountPoint]);
    expect(options.status).not.toBe(0);
  });

  test('allow_other brings permission checks; images, blobs and keys are for the owner', async () => {
    const place = mountPlace();
    await mountAt(place, sample, ['--allow-other']);
    expect(mountLines(place.mountPoint)[0]).toMatch(/default_permissions,allow_other|allow_other.*default_permissions/);
    const asNobody = (...args: string[]) => runProgram('setpriv', ['--reuid', String(nobody), '--regid', String(nobody), '--clear-groups', ...args]);
    expect((await asNobody('ls', place.mountPoint)).status).toBe(0);
    expect((await asNobody('cat', join(place.mountPoint, 'ct/113/latest/root.pxar/etc/passwd'))).status).toBe(0);
    expect((await asNobody('cat', join(place.mountPoint, 'vm/120/latest/drive-scsi0.img'))).stderr).toMatch(/Permission denied/);
    expect((await asNobody('cat', join(place.mountPoint, 'vm/120/latest/qemu-server.conf'))).stderr).toMatch(/Permission denied/);
  });

  test('--json tells process and log', async () => {
    const place = mountPlace();
    const { stdout } = await mountAt(place, sample, ['--json']);
    expect(JSON.parse(stdout)).toEqual({ mountPoint: place.mountPoint, source: sample, pid: await daemonOf(place.mountPoint), log: place.log });
    expect(readFileSync(place.log, 'utf8')).toMatch(/ is mounted on /);
  });

  test('a namespace as the root', async () => {
    const place = mountPlace();
    await mountAt(place, sample, ['--ns', 'prod/eu']);
    expect(readdirSync(place.mountPoint).sort()).toEqual(['host', 'vm']);
  });

  test('a small cache, the second driver, salvage: as status.json says', async () => {
    const place = mountPlace();
    expect(await mountAt(place, sample, ['--cache-size', '16M', '--driver', 'fuse-native', '--salvage'])).toMatchObject({ status: 0, stderr: '' });
    const { stdout } = await pbsfs(['status', '--json', place.mountPoint]);
    expect(JSON.parse(stdout)).toMatchObject({ mountPoint: place.mountPoint, status: { salvage: true, cache: { bytesMax: 16 * 2 ** 20 }, driver: { name: 'fuse-native' } } });
    expect(readFileSync(join(place.mountPoint, 'vm/120/latest/qemu-server.conf')).length).toBeGreaterThan(0);
    expect(await pbsfs(['umount', place.mountPoint])).toMatchObject({ status: 0, stderr: '' });
  });

  test('relative paths, and a mount point that is a link', async () => {
    const place = mountPlace();
    symlinkSync('mnt', join(place.directory, 'link'));
    symlinkSync(sample, join(place.directory, 'store'));
    expect(await pbsfs(['mount', 'store', 'link', '--log', 'log'], { cwd: place.directory })).toMatchObject({ status: 0, stderr: '' });
    expect(mountLines(place.mountPoint)).toHaveLength(1);
    expect(await pbsfs(['umount', 'link'], { cwd: place.directory })).toMatchObject({ status: 0, stderr: '' });
  });

  test('the store is named in the mount table and by status', async () => {
    const place = mountPlace();
    await mountAt(place, sample);
    expect(mountLines(place.mountPoint)[0]).toContain(` - fuse.pbsfs ${sample} `);
    const { stdout } = await pbsfs(['status']);
    expect(stdout).toMatch(new RegExp(`^${place.mountPoint} +${sample} +\\d+ +00:00:\\d\\d +0$`, 'm'));
    expect((await pbsfs(['status', place.mountPoint])).stdout).toMatch(/^driver +kernel, process \d+, up /m);
  });
});

describe.skipIf(!canMount)('keys', () => {
  const secret = 'host/secret/2021-06-01T10:00:00Z/secret.conf';

  test('with the key, without it, and with a second one', async () => {
    const without = mountPlace();
    await mountAt(without, vault);
    await expect(readFile(join(without.mountPoint, secret))).rejects.toMatchObject({ code: 'EACCES' });
    expect(readFileSync(without.log, 'utf8')).toMatch(/is encrypted: .*fingerprint [0-9a-f:]{95}/);

    const both = mountPlace();
    const env = { PBS_ENCRYPTION_PASSWORD: password };
    expect(await mountAt(both, vault, ['--keyfile', passwordKey, '-o', `keyfile=${plainKey}`], { env })).toMatchObject({ status: 0, stderr: '' });
    expect(await readFile(join(both.mountPoint, secret))).toEqual(readFileSync(expectedPath('vault', secret)));
    expect((await readdir(join(both.mountPoint, 'host/password/latest/root.pxar'))).length).toBeGreaterThan(0);
    const pid = await daemonOf(both.mountPoint);
    expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).not.toContain(password);
    expect(readFileSync(`/proc/${pid}/cmdline`, 'latin1')).not.toContain('key');
  });

  test('wrong password, no password, no key file: status 4 or 3, nothing mounted, no daemon', async () => {
    const place = mountPlace();
    expect(await mountAt(place, vault, ['--keyfile', passwordKey], { env: { PBS_ENCRYPTION_PASSWORD: 'wrong password' } })).toMatchObject({
      status: 4,
      stderr: expect.stringMatching(/^pbsfs: .*password\.json: the password does not fit[^\n]*\n$/),
    });
    const args = [program, 'mount', vault, place.mountPoint, '--keyfile', passwordKey];
    expect(await runProgram('setsid', ['--wait', process.execPath, ...args])).toMatchObject({ status: 4, stderr: expect.stringMatching(/PBS_ENCRYPTION_PASSWORD/) });
    expect(await mountAt(place, vault, ['--keyfile', '/none.json'])).toMatchObject({ status: 3, stderr: 'pbsfs: key file /none.json does not exist\n' });
    expect(mountLines(place.mountPoint)).toEqual([]);
  });
});

describe.skipIf(!canMount)('what is refused, in one line', () => {
  const refusal = async (args: readonly string[]): Promise<[number | string, string]> => {
    const { status, stderr } = await pbsfs(['mount', ...args]);
    expect(stderr).toMatch(/^pbsfs: [^\n]+\n$/);
    return [status, stderr];
  };

  test('mount points', async () => {
    const { directory, mountPoint, log } = mountPlace();
    writeFileSync(join(directory, 'file'), '');
    mkdirSync(join(directory, 'full/x'), { recursive: true });
    const logged = ['--log', log];
    expect(await refusal([sample, join(directory, 'none'), ...logged])).toEqual([6, expect.stringMatching(/none does not exist; create it/)]);
    expect(await refusal([sample, join(directory, 'file'), ...logged])).toEqual([6, expect.stringMatching(/file is not a directory/)]);
    expect(await refusal([sample, join(directory, 'full'), ...logged])).toEqual([6, expect.stringMatching(/full is not empty; .*nonempty/)]);
    expect(await pbsfs(['mount', sample, join(directory, 'full'), '-o', 'nonempty', ...logged])).toMatchObject({ status: 0 });
    expect(await pbsfs(['umount', join(directory, 'full')])).toMatchObject({ status: 0 });
    expect(await pbsfs(['mount', sample, mountPoint, ...logged])).toMatchObject({ status: 0 });
    expect(await refusal([sample, mountPoint, ...logged])).toEqual([6, expect.stringMatching(/is mounted here already; unmount it first/)]);
    expect(mountLines(mountPoint)).toHaveLength(1);
  });

  test('inside of the store, and around it, also by way of links', async () => {
    const store = copyOfStore('sample');
    const { directory, log } = mountPlace();
    mkdirSync(join(store, 'mnt'));
    symlinkSync(join(store, 'mnt'), join(directory, 'link'));
    symlinkSync(store, join(directory, 'store'));
    const inside = [6, expect.stringMatching(/lies in the datastore/)];
    expect(await refusal([store, join(store, 'mnt'), '--log', log])).toEqual(inside);
    expect(await refusal([store, join(directory, 'link'), '--log', log])).toEqual(inside);
    expect(await refusal([join(directory, 'store'), join(store, 'mnt'), '--log', log])).toEqual(inside);
    expect(await refusal([store, store, '--log', log])).toEqual(inside);
    expect(await refusal([store, join(store, '..'), '--log', log])).toEqual([6, expect.stringMatching(/would be hidden/)]);
  });

  test('sources, options, namespaces, logs', async () => {
    const { mountPoint, log } = mountPlace();
    const logged = ['--log', log];
    expect(await refusal(['/none', mountPoint, ...logged])).toEqual([3, expect.stringMatching(/\/none/)]);
    expect(await refusal(['/etc', mountPoint, ...logged])).toEqual([5, expect.stringMatching(/not a datastore/)]);
    expect(await refusal([sample, mountPoint, '--ns', 'none', ...logged])).toEqual([3, expect.stringMatching(/none/)]);
    expect(await refusal([sample, mountPoint, '-o', 'rw', ...logged])).toEqual([2, expect.stringMatching(/read-only/)]);
    expect(await refusal([sample, mountPoint, '-o', 'allow_othr', ...logged])).toEqual([2, expect.stringMatching(/'allow_othr'/)]);
    expect(await refusal([sample, mountPoint, '--driver', 'none', ...logged])).toEqual([2, expect.stringMatching(/kernel and fuse-native/)]);
    expect(await refusal([sample, mountPoint, '--cache-size', '1M', ...logged])).toEqual([2, expect.stringMatching(/at least 16M/)]);
    expect(await refusal([sample, mountPoint, '--log', join(mountPoint, 'log')])).toEqual([6, expect.stringMatching(/below the mount point/)]);
    expect(await refusal([sample, mountPoint, '--log', '/dev/null/x'])).toEqual([6, expect.stringMatching(/--log FILE/)]);
    expect(await refusal([sample, mountPoint, '--foreground', ...logged])).toEqual([2, expect.stringMatching(/standard error/)]);
    expect(await refusal(['--json', sample, mountPoint, '-o', 'rw'].slice(1))).toEqual([2, expect.anything()]);
    expect(mountLines(mountPoint)).toEqual([]);
  });

  test('errors of the daemon are JSON with --json', async () => {
    const { mountPoint, log } = mountPlace();
    const { status, stderr } = await pbsfs(['mount', '/etc', mountPoint, '--log', log, '--json']);
    expect(status).toBe(5);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'NOT_A_DATASTORE', exitStatus: 5 } });
  });

  test('without /dev/fuse', async () => {
    const place = mountPlace();
    const dev = join(place.directory, 'dev');
    mkdirSync(dev);
    const devices = `mount -t tmpfs none ${dev} && mknod ${dev}/null c 1 3 && mount --bind ${dev} /dev`;
    const script = `${devices} && exec ${process.execPath} ${program} mount ${sample} ${place.mountPoint} --log ${place.log}`;
    const { status, stderr } = await runProgram('unshare', ['-m', 'sh', '-c', script]);
    expect(status).toBe(6);
    expect(stderr).toMatch(/^pbsfs: .*\/dev\/fuse.*\n$/);
  });
});

test.skipIf(!canMount)('the store is only read', async () => {
  const store = copyOfStore('sample');
  const state = async (): Promise<string> => (await runProgram('find', [store, '-printf', '%p %m %U %G %s %T@ %C@\n'])).stdout;
  const before = await state();
  const place = mountPlace();
  await mountAt(place, store);
  expect((await runProgram('tar', ['cf', '/dev/null', '-C', place.mountPoint, '.'])).status).toBe(0);
  await expect(stat(join(place.mountPoint, 'vm/120/latest/drive-scsi0.img'))).resolves.toMatchObject({ size: 100663296 });
  await pbsfs(['umount', place.mountPoint]);
  expect(await state()).toBe(before);
  expect(existsSync(place.log)).toBe(true);
});
