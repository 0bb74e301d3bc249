/** The commands that read a store, run as they are built, compared with what the fixtures should give. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commandLoaders } from '../../src/cli/commands.js';
import { pbsfs, program, runProgram } from '../support/command.js';
import { expectedJson, expectedLines, expectedPath, keyPath, storePath } from '../support/fixtures.js';
import { copyOfStore, scratchDirectory } from '../support/scratch.js';

const sample = storePath('sample');
const vault = storePath('vault');
const password = 'correct horse battery staple';

const directory = scratchDirectory();
function ownKey(name: 'plain.json' | 'password.json'): string {
  const path = join(directory, name);
  copyFileSync(keyPath(name), path);
  chmodSync(path, 0o600);
  return path;
}
const plainKey = ownKey('plain.json');
const passwordKey = ownKey('password.json');

function jsonLines(text: string): Record<string, unknown>[] {
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>);
}

interface Entry {
  readonly path: string;
  readonly type: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: readonly [number, number];
  readonly size?: number;
  readonly sha256?: string;
  readonly target?: string;
  readonly xattrs?: Readonly<Record<string, unknown>>;
}

describe('snapshots', () => {
  interface Facts {
    readonly groups: readonly { ns: string; type: string; id: string; owner: string }[];
    readonly snapshots: readonly {
      ns: string;
      type: string;
      id: string;
      path: string;
      epoch: number;
      finished: boolean;
      protected: boolean;
      notes: string | null;
      verify_state: string | null;
      fingerprint: string | null;
    }[];
  }

  test.each(['sample', 'vault'] as const)('%s: every fact of every snapshot', async (name) => {
    const { snapshots, groups } = expectedJson(name, 'datastore.json') as Facts;
    const { status, stdout, stderr } = await pbsfs(['snapshots', '--json', storePath(name)]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const rows = jsonLines(stdout);
    expect(rows.map(({ snapshot }) => snapshot).sort()).toEqual(snapshots.map(({ path }) => path).sort());
    for (const expected of snapshots) {
      const row = rows.find(({ snapshot }) => snapshot === expected.path);
      expect(row, expected.path).toMatchObject({ epoch: expected.epoch, finished: expected.finished, protected: expected.protected });
      expect(row?.owner).toBe(groups.find(({ ns, type, id }) => ns === expected.ns && type === expected.type && id === expected.id)?.owner);
      if (!expected.finished) continue;
      expect(row?.notes).toBe(expected.notes);
      expect(row?.verifyState).toBe(expected.verify_state);
      expect(row?.fingerprint).toBe(expected.fingerprint);
    }
  });

  test('as a table, of a namespace, a type, a group, a snapshot', async () => {
    const count = async (...args: string[]): Promise<number> => {
      const { status, stdout } = await pbsfs(['snapshots', sample, ...args]);
      expect(status).toBe(0);
      expect(stdout).toMatch(/^SNAPSHOT +SIZE +VERIFIED +PROTECTED +CRYPT +KEY +OWNER +FILES +NOTES\n/);
      return stdout.trim().split('\n').length - 1;
    };
    expect(await count()).toBe(15);
    expect(await count('ns/prod')).toBe(4);
    expect(await count('ns/prod/ns/eu')).toBe(2);
    expect(await count('vm')).toBe(4);
    expect(await count('vm/120')).toBe(4);
    expect(await count('vm/120/latest')).toBe(1);
    expect(await count('--ns', 'prod', 'vm')).toBe(1);
    expect(await count('ns/prod/vm/200/2021')).toBe(1);
  });

  test('a manifest that can not be read is told, and the others are listed', async () => {
    const store = copyOfStore('sample');
    writeFileSync(join(store, 'vm/120/2021-05-24T16:16:06Z/index.json.blob'), 'not a manifest');
    const { status, stdout } = await pbsfs(['snapshots', store]);
    expect(status).toBe(1);
    expect(stdout.trim().split('\n')).toHaveLength(16);
    expect(stdout).toMatch(/vm\/120\/2021-05-24T16:16:06Z.*\(damaged: /);
    const lines = jsonLines((await pbsfs(['snapshots', '--json', store])).stdout);
    expect(lines.filter(({ error }) => typeof error === 'string')).toHaveLength(1);
  });

  test('a store without snapshots', async () => {
    const empty = join(scratchDirectory(), 'store');
    mkdirSync(join(empty, '.chunks'), { recursive: true });
    expect(await pbsfs(['snapshots', empty])).toMatchObject({ status: 0, stdout: 'no snapshots\n' });
  });
});

describe('ls', () => {
  test('the root, a group, a snapshot', async () => {
    expect((await pbsfs(['ls', sample])).stdout).toBe('ct\nhost\nvm\nns\n');
    expect((await pbsfs(['ls', sample, 'vm/120'])).stdout.split('\n')).toContain('latest');
    expect((await pbsfs(['ls', sample, 'vm/120/latest/drive-scsi0.img.parts'])).stdout).toBe('p1\np2\np3\n');
    expect((await pbsfs(['ls', sample, 'ns/prod/ns/eu/vm/201/latest'])).stdout.split('\n')).toContain('qemu-server.conf');
    expect((await pbsfs(['ls', '--ns', 'prod/eu', sample, 'vm/201/latest'])).stdout.split('\n')).toContain('qemu-server.conf');
  });

  test.each([
    ['sample', 'host/odd/2021-05-25T08:00:00Z', 'odd.pxar', []],
    ['sample', 'host/split/2021-05-26T20:00:00Z', 'data.pxar', []],
    ['vault', 'host/secret/2021-06-02T10:00:00Z', 'root.pxar', ['--keyfile', plainKey]],
  ] as const)('%s %s/%s recursively: every name, type, mode, owner, size, time and target', async (name, snapshot, archive, options) => {
    const expected = expectedLines<Entry>(name, `${snapshot}/${archive}.jsonl`).filter(({ path }) => path !== '');
    const { status, stdout } = await pbsfs(['ls', '-aR', '--json', ...options, storePath(name), `${snapshot}/${archive}`]);
    expect(status).toBe(0);
    const found = new Map<string, Record<string, unknown>>();
    const prefix = Buffer.from(`${snapshot}/${archive}/`);
    for (const line of jsonLines(stdout)) {
      const path = typeof line.pathBase64 === 'string' ? Buffer.from(line.pathBase64, 'base64') : Buffer.from(String(line.path));
      found.set(path.subarray(prefix.length).toString('base64'), line);
    }
    expect(found.size).toBe(expected.length);
    for (const entry of expected) {
      const line = found.get(entry.path);
      const [sec, nsec] = entry.mtime;
      const date = new Date(sec * 1000).toISOString().replace('.000Z', nsec === 0 ? 'Z' : `.${String(nsec).padStart(9, '0')}Z`);
      expect(line, entry.path).toMatchObject({ type: entry.type, mode: entry.mode.padStart(4, '0'), uid: entry.uid, gid: entry.gid, mtime: date });
      if (entry.size !== undefined) expect(line?.size).toBe(entry.size);
      if (entry.target !== undefined) {
        const target = typeof line?.targetBase64 === 'string' ? line.targetBase64 : Buffer.from(String(line?.target)).toString('base64');
        expect(target).toBe(entry.target);
      }
    }
  });

  test('names of any bytes: raw for programs, ended by NUL on request', async () => {
    const path = 'host/odd/latest/odd.pxar';
    const expected = expectedLines<Entry>('sample', 'host/odd/2021-05-25T08:00:00Z/odd.pxar.jsonl').map((entry) => Buffer.from(entry.path, 'base64'));
    const { bytes } = await pbsfs(['ls', '-a', '-R', '--zero', sample, path]);
    const names = bytes.toString('latin1').split('\0').slice(0, -1).sort();
    expect(names).toEqual(expected.filter(({ length }) => length > 0).map((each) => each.subarray(each.lastIndexOf(0x2f) + 1).toString('latin1')).sort());
  });

  test('on a terminal, escaped', async () => {
    const { stdout } = await runProgram('script', ['-qec', `${process.execPath} ${program} ls -aR ${sample} host/odd/latest/odd.pxar`, '/dev/null']);
    expect(stdout).not.toMatch(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/);
    expect(stdout).toMatch(/\$'.*\\x/);
  });

  test('-l aligns, shows targets and devices; dots are hidden without -a', async () => {
    const { stdout } = await pbsfs(['ls', '-l', sample, 'vm/120']);
    expect(stdout).toMatch(/^lrwxrwxrwx .* latest -> 2021-05-24T16:23:02Z$/m);
    const single = await pbsfs(['ls', '-l', sample, 'ct/113/latest/root.pxar/etc/fstab']);
    expect(single.stdout).toMatch(/^-rw-r--r-- 1 0 0 15 2021-05-03T14:29:56Z fstab\n$/);
    expect((await pbsfs(['ls', sample, 'ns/prod/host/web/latest/etc.pxar'])).stdout).not.toContain('.pxarexclude-cli');
    expect((await pbsfs(['ls', '-a', sample, 'ns/prod/host/web/latest/etc.pxar'])).stdout).toContain('.pxarexclude-cli');
  });

  test('.pbsfs is not listed, but there', async () => {
    expect((await pbsfs(['ls', '-a', sample])).stdout).not.toContain('.pbsfs');
    expect((await pbsfs(['ls', sample, '.pbsfs'])).stdout).toContain('status.json');
  });
});

describe('cat', () => {
  test.each([
    ['sample', 'ct/113/2021-05-28T03:10:07Z', 'root.pxar', []],
    ['sample', 'host/odd/2021-05-25T08:00:00Z', 'odd.pxar', []],
    ['vault', 'host/secret/2021-06-01T10:00:00Z', 'root.pxar', ['--keyfile', plainKey]],
  ] as const)('%s %s/%s: files with any name, in one go', async (name, snapshot, archive, options) => {
    const files = expectedLines<Entry>(name, `${snapshot}/${archive}.jsonl`).filter(({ type, size = 0 }) => type === 'file' && size < 100_000);
    const some = files.filter((_, at) => at % Math.ceil(files.length / 50) === 0 || Buffer.from(files[at]?.path ?? '', 'base64').some((byte) => byte > 0x7f || byte < 0x20));
    expect(some.length).toBeGreaterThan(10);
    const paths = some.map(({ path }) => Buffer.concat([Buffer.from(`${snapshot}/${archive}/`), Buffer.from(path, 'base64')]));
    // Node encodes arguments as UTF-8, so bash hands over the bytes.
    const words = paths.map((path) => `$'${[...path].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}'`);
    const script = join(directory, 'cat.sh');
    writeFileSync(script, `exec ${process.execPath} ${program} cat ${options.join(' ')} ${storePath(name)} ${words.join(' ')}`);
    const { status, bytes, stderr } = await runProgram('bash', [script]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    let at = 0;
    for (const { path, size = 0, sha256 } of some) {
      expect(createHash('sha256').update(bytes.subarray(at, (at += size))).digest('hex'), path).toBe(sha256);
    }
    expect(bytes.length).toBe(at);
  });

  test('an image, through a pipe that is slow', async () => {
    const { size, sha256 } = expectedJson('sample', 'vm/120/2021-05-24T16:23:02Z/drive-scsi0.img.json') as { size: number; sha256: string };
    const script = `${process.execPath} ${program} cat ${sample} vm/120/latest/drive-scsi0.img | (sleep 1; tee >(wc -c >&2) | sha256sum)`;
    const { stdout, stderr } = await runProgram('bash', ['-c', script]);
    expect(stdout.slice(0, 64)).toBe(sha256);
    expect(stderr.trim()).toBe(String(size));
  });

  test('blobs, decoded', async () => {
    for (const file of ['qemu-server.conf', 'client.log']) {
      const { bytes } = await pbsfs(['cat', sample, `vm/120/2021-05-24T16:09/${file}`]);
      expect(bytes).toEqual(readFileSync(expectedPath('sample', `vm/120/2021-05-24T16:09:24Z/${file}`)));
    }
    const { bytes } = await pbsfs(['cat', '--keyfile', plainKey, vault, 'host/secret/2021-06-02/secret.conf']);
    expect(bytes).toEqual(readFileSync(expectedPath('vault', 'host/secret/2021-06-02T10:00:00Z/secret.conf')));
  });

  test('links of the archive are followed in the archive', async () => {
    const { stdout } = await pbsfs(['ls', '-aR', '--json', sample, 'ct/113/latest/root.pxar']);
    const lines = jsonLines(stdout);
    const files = new Map(lines.filter(({ type }) => type === 'file').map(({ path, size }) => [String(path), Number(size)]));
    const absolute = lines.filter(({ type, target }) => type === 'symlink' && String(target).startsWith('/'));
    const [link] = absolute.filter(({ path, target }) => files.has(`${String(path).split('/').slice(0, 4).join('/')}${String(target)}`));
    if (link === undefined) throw new Error('the fixture has no absolute link to a file');
    const { status, bytes } = await pbsfs(['cat', sample, String(link.path)]);
    expect(status).toBe(0);
    expect(bytes.length).toBe(files.get(`${String(link.path).split('/').slice(0, 4).join('/')}${String(link.target)}`));
  });

  test('a reader that goes away is no noise', async () => {
    const child = spawn('bash', ['-c', `${process.execPath} ${program} cat ${sample} vm/120/latest/drive-scsi0.img | head -c 1000 | wc -c; echo "\${PIPESTATUS[0]}"`]);
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await once(child, 'close');
    expect(text).toBe('1000\n141\n');
  });

  test('a full disk is told', async () => {
    const { status, stderr } = await runProgram('bash', ['-c', `${process.execPath} ${program} cat ${sample} vm/120/latest/drive-scsi0.img > /dev/full`]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^pbsfs: .*ENOSPC.*\n$/);
  });
});

describe('stat', () => {
  test('facts of a snapshot', async () => {
    const { stdout } = await pbsfs(['stat', sample, 'vm/120/2021-05-24T16:09']);
    expect(stdout).toMatch(/^user\.pbsfs\.owner +root@pam$/m);
    expect(stdout).toMatch(/^user\.pbsfs\.protected +true$/m);
    expect(stdout).toMatch(/^user\.pbsfs\.verify-state +ok$/m);
  });

  test('attributes, extended attributes and ACLs of files', async () => {
    const snapshot = 'host/odd/2021-05-25T08:00:00Z';
    const entries = expectedLines<Entry & { acl?: object }>('sample', `${snapshot}/odd.pxar.jsonl`);
    const withAcl = entries.find(({ acl }) => acl !== undefined);
    const withXattrs = entries.find(({ xattrs }) => typeof xattrs?.['user.comment'] === 'string') ?? entries.find(({ xattrs }) => xattrs !== undefined);
    for (const entry of [withAcl, withXattrs]) {
      if (entry === undefined) throw new Error('the fixture has none');
      const path = `${snapshot}/odd.pxar/${Buffer.from(entry.path, 'base64').toString()}`;
      const { status, stdout } = await pbsfs(['stat', '--json', sample, path]);
      expect(status).toBe(0);
      const facts = JSON.parse(stdout) as { xattrs: Record<string, string>; acl: Record<string, string[]> };
      expect(facts).toMatchObject({ type: entry.type, uid: entry.uid, mode: entry.mode.padStart(4, '0') });
      for (const [name, value] of Object.entries(entry.xattrs ?? {})) if (typeof value === 'string') expect(facts.xattrs[name]).toBe(value);
      if (entry.acl !== undefined) expect(Object.keys(facts.acl)).toEqual(Object.keys(entry.acl));
      expect((await pbsfs(['stat', sample, path])).status).toBe(0);
    }
  });

  test('a link, and what it leads to', async () => {
    const path = 'ct/113/latest/root.pxar';
    const links = jsonLines((await pbsfs(['ls', '-aR', '--json', sample, path])).stdout).filter(({ type }) => type === 'symlink');
    const link = String(links.find(({ target }) => !String(target).includes('/'))?.path);
    expect((await pbsfs(['stat', sample, link])).stdout).toMatch(/^type +symlink$/m);
    expect((await pbsfs(['stat', '-L', sample, link])).stdout).not.toMatch(/^type +symlink$/m);
  });
});

describe('keys', () => {
  const secret = 'host/secret/2021-06-01/secret.conf';
  const wrapped = 'host/password/latest/root.pxar';

  test('none: the fingerprint that is needed is named', async () => {
    const { status, stderr } = await pbsfs(['cat', vault, secret]);
    expect(status).toBe(4);
    const fingerprint = (expectedJson('vault', 'datastore.json') as { snapshots: { path: string; fingerprint: string }[] }).snapshots.find(({ path }) => path.startsWith('host/secret/2021-06-01'))?.fingerprint;
    expect(stderr).toContain(fingerprint);
  });

  test('the one that fits of several, also through a pipe', async () => {
    expect((await pbsfs(['cat', '--keyfile', passwordKey, '--keyfile', plainKey, vault, secret], { env: { PBS_ENCRYPTION_PASSWORD: password } })).status).toBe(0);
    const piped = await runProgram('bash', ['-c', `${process.execPath} ${program} cat --keyfile <(cat ${plainKey}) ${vault} ${secret}`]);
    expect(piped).toMatchObject({ status: 0, stderr: '' });
  });

  test('another key than the one that is needed', async () => {
    const { status, stderr } = await pbsfs(['cat', '--keyfile', passwordKey, vault, secret], { env: { PBS_ENCRYPTION_PASSWORD: password } });
    expect(status).toBe(4);
    expect(stderr).toMatch(/--keyfile/);
  });

  test('the password: from the environment, from a file, wrong, missing', async () => {
    const file = join(directory, 'password');
    writeFileSync(file, `${password}\n`, { mode: 0o600 });
    expect(await pbsfs(['ls', '--keyfile', passwordKey, vault, wrapped], { env: { PBS_ENCRYPTION_PASSWORD: password } })).toMatchObject({ status: 0, stderr: '' });
    expect(await pbsfs(['ls', '--keyfile', passwordKey, '--password-file', file, vault, wrapped])).toMatchObject({ status: 0, stderr: '' });
    expect(await pbsfs(['ls', '--keyfile', passwordKey, vault, wrapped], { env: { PBS_ENCRYPTION_PASSWORD: 'wrong password' } })).toMatchObject({
      status: 4,
      stderr: expect.stringMatching(/^pbsfs: .*password\.json: the password does not fit/),
    });
    const none = await runProgram('setsid', ['--wait', process.execPath, program, 'ls', '--keyfile', passwordKey, vault, wrapped]);
    expect(none).toMatchObject({ status: 4, stderr: expect.stringMatching(/set PBS_ENCRYPTION_PASSWORD or use --password-file\n$/) });
  });

  test('the password: asked for on a terminal, not shown, corrected while typing', async () => {
    const child = spawn('script', ['-qec', `${process.execPath} ${program} ls --keyfile ${passwordKey} ${vault} ${wrapped}`, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (/password of .*password\.json.*: $/.test(text)) child.stdin.write(`xxx\u0015${password}q\u007f\r`);
    });
    const [status] = (await once(child, 'close')) as [number];
    expect(status, text).toBe(0);
    expect(text).not.toContain('horse');
    expect(text.split('\n').length).toBeGreaterThan(3);
  });

  test('a key file that others can read: a warning, and it works', async () => {
    const open = join(directory, 'open.json');
    copyFileSync(keyPath('plain.json'), open);
    chmodSync(open, 0o644);
    expect(await pbsfs(['ls', '--keyfile', open, vault, 'host/secret/2021-06-01/root.pxar'])).toMatchObject({ status: 0, stderr: `pbsfs: key file ${open} can be read by others; chmod 600 ${open}\n` });
  });
});

describe('errors', () => {
  const cases: [args: string[], status: number, message: RegExp][] = [
    [['ls', '/none'], 3, /\/none/],
    [['ls', '/etc'], 5, /not a datastore: .*\.chunks/],
    [['ls', 'root@pam@host:port:store'], 2, /'port' is not a port/],
    [['ls', sample, 'vm/999'], 3, /no group vm\/999/],
    [['ls', sample, 'ns/none'], 3, /no namespace 'none'/],
    [['ls', sample, 'vm/120/2020'], 3, /no snapshot '2020'/],
    [['ls', sample, 'vm/120/2021'], 3, /fits 4 snapshots/],
    [['ls', sample, 'vm/120/latest/none'], 3, /no 'none'/],
    [['ls', '--ns', 'a/../b', sample], 2, /namespace/],
    [['cat', sample, 'vm/120/latest'], 1, /is a directory/],
    [['cat', sample, 'ct/113/latest/root.pxar/etc/fstab/x'], 1, /not a directory/],
    [['snapshots', sample, 'vm/120/latest/index.json'], 3, /pbsfs ls/],
    [['mont', 'a', 'b'], 2, /no command 'mont'; did you mean mount\?/],
    [[], 2, /which command\?/],
    [['ls'], 2, /SOURCE is missing/],
    [['ls', sample, '--frob'], 2, /unknown option '--frob'/],
    [['completion', 'fish'], 2, /bash and zsh/],
  ];

  test.each(cases)('%j', async (args, status, message) => {
    const plain = await pbsfs(args);
    expect(plain.status, plain.stderr).toBe(status);
    expect(plain.stderr).toMatch(/^pbsfs: [^\n]+\n$/);
    expect(plain.stderr).toMatch(message);
    expect(plain.stdout).toBe('');
  });

  test('as JSON', async () => {
    const { status, stderr } = await pbsfs(['ls', '--json', sample, 'vm/999']);
    expect(status).toBe(3);
    expect(JSON.parse(stderr)).toEqual({ error: { code: 'NOT_FOUND', message: expect.stringContaining('vm/999'), exitStatus: 3 } });
  });

  test('with stacks only when asked for', async () => {
    const { stderr } = await pbsfs(['ls', sample, 'vm/999'], { env: { PBSFS_DEBUG: '1' } });
    expect(stderr).toMatch(/\n +at /);
  });

  test('damage: the files beside it are read, and the status tells', async () => {
    const store = copyOfStore('sample');
    const chunks = readdirSync(join(store, '.chunks')).flatMap((name) => readdirSync(join(store, '.chunks', name)).map((file) => join(store, '.chunks', name, file)));
    for (const chunk of chunks) writeFileSync(chunk, 'damaged');
    const image = await pbsfs(['cat', store, 'vm/120/latest/drive-scsi0.img']);
    expect(image.status).toBe(1);
    expect(image.stderr).toMatch(/has only 7 bytes; it affects vm\/120\/.*\(bytes 0-/);
    expect((await pbsfs(['cat', store, 'vm/120/latest/qemu-server.conf'])).status).toBe(0);
    expect((await pbsfs(['cat', '--salvage', store, 'vm/120/latest/drive-scsi1.img'])).status).toBe(0);
  });
});

describe('help', () => {
  test.each(Object.keys(commandLoaders))('%s: options, examples and exit statuses', async (name) => {
    const { status, stdout } = await pbsfs([name, '--help']);
    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`^pbsfs ${name}\\b`));
    expect(stdout).toContain('Examples:');
    expect(stdout).toMatch(/EXIT STATUS\n +0 +success\n/);
    expect(stdout.split('\n').every((line) => line.length <= 100)).toBe(true);
  });

  test('of all, and the version', async () => {
    const { stdout } = await pbsfs(['--help']);
    for (const name of Object.keys(commandLoaders)) expect(stdout).toContain(`pbsfs ${name}`);
    expect(stdout).toContain('EXIT STATUS');
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
    expect((await pbsfs(['--version'])).stdout).toBe(`pbsfs ${version}\n`);
  });

  test('options after -- are names', async () => {
    expect((await pbsfs(['ls', sample, '--', '--help'])).stderr).toContain("no '--help'");
  });
});

test('the store is only read', async () => {
  const store = copyOfStore('sample');
  const state = (): string => execFileSync('find', [store, '-printf', '%p %m %U %G %s %T@ %C@\n']).toString();
  const before = state();
  await pbsfs(['snapshots', store]);
  await pbsfs(['ls', '-lR', store]);
  await pbsfs(['cat', store, 'vm/120/latest/drive-scsi1.img']);
  await pbsfs(['stat', store, 'vm/120/latest/drive-scsi1.img']);
  expect(state()).toBe(before);
});
