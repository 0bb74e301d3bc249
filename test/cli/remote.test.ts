/** Commands on a datastore of a server: how it is named, who is let in, what is asked on a terminal, how they end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { readArguments } from '../../src/cli/arguments.js';
import { loadCommand } from '../../src/cli/commands.js';
import { formatRepository } from '../../src/format/repository.js';
import { pbsfs, program } from '../support/command.js';
import { RecordingServer } from '../support/recording-server.js';
import { scratchDirectory } from '../support/scratch.js';
import { serveStores } from '../support/served-stores.js';

let server: RecordingServer;
let repository: string;
let fingerprint: string;
let sample: string;

beforeAll(async () => {
  sample = inject('sampleStore');
  server = await RecordingServer.start(sample);
  repository = formatRepository(server.repository);
  fingerprint = server.options().fingerprint ?? '';
});
afterAll(async () => {
  await server.close();
});

/** A home of its own, as what is asked once is remembered. */
function home(more: Record<string, string> = {}): Record<string, string> {
  const directory = scratchDirectory();
  const runtime = join(directory, 'run');
  mkdirSync(runtime);
  chmodSync(runtime, 0o700);
  return { HOME: directory, XDG_CONFIG_HOME: '', XDG_RUNTIME_DIR: runtime, ...more };
}

const known = (more: Record<string, string> = {}): Record<string, string> => home({ PBS_PASSWORD: 'secret', PBS_FINGERPRINT: fingerprint, ...more });

/** What a person sees who types `typed`, each when the text before it is there. */
async function atTerminal(args: readonly string[], env: Record<string, string>, typed: readonly (readonly [RegExp, string])[]): Promise<{ status: number; text: string }> {
  const line = [process.execPath, program, ...args].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', line, '/dev/null'], { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  const left = [...typed];
  child.stdout.on('data', (part: Buffer) => {
    text += part.toString();
    const [next] = left;
    if (next?.[0].test(text) === true) {
      left.shift();
      child.stdin.write(next[1]);
    }
  });
  const [status] = (await once(child, 'close')) as [number];
  return { status, text };
}

describe('the datastore', () => {
  test.each<[string, () => [string[], Record<string, string>]]>([
    ['as the source', () => [['snapshots', '--json', repository, 'ct/113'], {}]],
    ['by --repository', () => [['snapshots', '--json', '--repository', repository, 'ct/113'], {}]],
    ['by the environment', () => [['snapshots', '--json', 'ct/113'], { PBS_REPOSITORY: repository }]],
    ['by --repository before the environment', () => [['snapshots', '--json', 'ct/113', '--repository', repository], { PBS_REPOSITORY: 'none:none' }]],
    [
      'by a credential of systemd',
      () => {
        const directory = scratchDirectory();
        writeFileSync(join(directory, 'proxmox-backup-client.repository'), `${repository}\n`);
        return [['snapshots', '--json', 'ct/113'], { CREDENTIALS_DIRECTORY: directory }];
      },
    ],
    [
      'by the parts of the environment',
      () => {
        const { host, port, store, authId } = server.repository;
        return [['snapshots', '--json', 'ct/113'], { PBS_SERVER: host, PBS_PORT: String(port), PBS_DATASTORE: store, PBS_AUTH_ID: authId }];
      },
    ],
  ])('%s', async (_name, make) => {
    const [args, env] = make();
    const remote = await pbsfs(args, { env: known(env) });
    expect(remote.stderr).toBe('');
    expect(remote.stdout).toBe((await pbsfs(['snapshots', '--json', sample, 'ct/113'])).stdout);
  });

  test('gives the same bytes', async () => {
    const path = 'ct/113/latest/root.pxar/etc/fstab';
    const local = await pbsfs(['cat', sample, path]);
    expect(await pbsfs(['cat', path], { env: known({ PBS_REPOSITORY: repository }) })).toMatchObject({ status: 0, stdout: local.stdout, stderr: '' });
    const target = join(scratchDirectory(), 'fstab');
    expect(await pbsfs(['restore', '--repository', repository, 'ct/113/latest', 'root.pxar', target, '--pattern', '/etc/fstab'], { env: known() })).toMatchObject({ status: 0 });
    expect(readFileSync(join(target, 'etc/fstab'), 'utf8')).toBe(local.stdout);
  });

  test.each<[string[], Record<string, string>, RegExp]>([
    [['ls', '/srv/x', '--repository', 'a b:c'], {}, /'a b' is not a host/],
    [['tar', '--store', '/srv/x', '--repository', 'h:s', 'a', 'b'], {}, /give one of them/],
    [['ls'], { PBS_REPOSITORY: 'a:b:c:d' }, /too many colons/],
    [['ls', 'h:s', '--timeout', '0'], {}, /not a number of seconds/],
    [['ls', 'h:s', '--fingerprint', '12:34'], { PBS_PASSWORD: 'x' }, /fingerprint/],
    [['mount', '/srv/x', '/mnt', '--timeout', '5'], {}, /only a datastore on a server/],
    [['backup', 'a.pxar:/etc'], {}, /--store DIR \(or --repository\) is missing/],
  ])('%j %j is refused', async (args, env, message) => {
    if (args.includes('--fingerprint')) args = args.map((word) => (word === 'h:s' ? repository : word));
    const { status, stderr } = await pbsfs(args, { env: home(env) });
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  });
});

describe('where the words of a command go', () => {
  const environment = { PBS_REPOSITORY: 'h:store', PBS_NAMESPACE: 'prod' };
  const full = 'root@pam@h:8007:store';
  const other = 'root@pam@localhost:8007:other';
  test.each<[string, string[], string[], object]>([
    ['ls', [], [full], { ns: 'prod' }],
    ['ls', ['vm/120'], [full, 'vm/120'], { ns: 'prod' }],
    ['ls', ['ns'], [full, 'ns'], { ns: 'prod' }],
    ['ls', ['/srv/store'], ['/srv/store'], { ns: undefined }],
    ['ls', ['store', 'vm/120'], ['store', 'vm/120'], { ns: undefined }],
    ['ls', ['--repository', 'other'], [other], {}],
    ['ls', ['--repository', 'other', 'x', '--ns', 'a'], [other, 'x'], { ns: 'a' }],
    ['cat', ['host/a/latest/x', 'host/b/latest/y'], [full, 'host/a/latest/x', 'host/b/latest/y'], {}],
    ['mount', ['/mnt'], [full, '/mnt'], { ns: 'prod' }],
    ['mount', ['/srv/store', '/mnt'], ['/srv/store', '/mnt'], { ns: undefined }],
    ['login', [], [full], {}],
    ['restore', ['host/a/latest', 'b.pxar', '/c'], ['host/a/latest', 'b.pxar', '/c'], { store: full, ns: 'prod' }],
    ['restore', ['a', 'b', 'c', '--store', 'dir'], ['a', 'b', 'c'], { store: 'dir', ns: undefined }],
    ['restore', ['a', 'b', 'c', '--repository', 'other'], ['a', 'b', 'c'], { store: other }],
    ['status', [], [], {}],
  ])('%s %j', async (name, args, positionals, values) => {
    const command = await loadCommand(name);
    if (command === undefined) throw new Error(name);
    const read = readArguments(command, args, args.map((text) => Buffer.from(text)), environment);
    expect(read.positionals).toEqual(positionals);
    expect(read.raw.map(String)).toEqual(positionals);
    expect({ ns: undefined, ...read.values }).toMatchObject(values);
  });
});

describe('how commands end', () => {
  test('4 and the fingerprint where nobody can say whether it is the right one', async () => {
    const { status, stderr } = await pbsfs(['ls', repository], { env: home({ PBS_PASSWORD: 'secret' }) });
    expect(stderr).toContain(`--fingerprint`);
    expect(stderr).toContain(fingerprint);
    expect(status).toBe(4);
    expect((await pbsfs(['ls', repository, '--fingerprint', fingerprint], { env: home({ PBS_PASSWORD: 'secret' }) })).status).toBe(0);
  });

  test('4 without a password', async () => {
    const { status, stderr } = await pbsfs(['ls', repository], { env: home({ PBS_FINGERPRINT: fingerprint }) });
    expect(stderr).toContain('PBS_PASSWORD');
    expect(status).toBe(4);
  });

  test('10 when the server is not there, after the time that was given', async () => {
    const begun = Date.now();
    const { status, stderr } = await pbsfs(['ls', '127.0.0.1:1:store', '--timeout', '1'], { env: known() });
    expect(stderr).toMatch(/^pbsfs: 127\.0\.0\.1:1 can not be reached: connection refused \(ECONNREFUSED\)\n$/);
    expect(status).toBe(10);
    expect(Date.now() - begun).toBeLessThan(4000);
  });
});

describe('login', () => {
  test('lets the next commands in, until logout', async () => {
    const env = home({ PBS_FINGERPRINT: fingerprint, PBS_REPOSITORY: repository });
    expect(await pbsfs(['login'], { env: { ...env, PBS_PASSWORD: 'secret' } })).toMatchObject({ status: 0, stdout: 'backup@pbs is logged in to 127.0.0.1\n' });
    expect(await pbsfs(['ls'], { env })).toMatchObject({ status: 0, stderr: '' });
    expect(await pbsfs(['logout', '--json'], { env })).toMatchObject({ status: 0, stdout: '{"host":"127.0.0.1","authId":"backup@pbs"}\n' });
    expect(await pbsfs(['ls'], { env })).toMatchObject({ status: 4 });
    expect(await pbsfs(['logout'], { env })).toMatchObject({ status: 3 });
  });

  test('says when it can not be remembered', async () => {
    const env = known({ XDG_RUNTIME_DIR: '' });
    expect(await pbsfs(['login', repository], { env })).toMatchObject({ status: 0, stdout: '', stderr: expect.stringContaining('XDG_RUNTIME_DIR') as string });
  });

  test('asks on a terminal, once', async () => {
    const env = home();
    const asked = await atTerminal(['login', repository], env, [
      [/\(y\/n\) /, 'y'],
      [/password of backup@pbs: /, 'secret\r'],
    ]);
    expect(asked.text).toContain(fingerprint);
    expect(asked.text).not.toContain('secret');
    expect(asked).toMatchObject({ status: 0, text: expect.stringContaining('is logged in to') as string });
    expect(await pbsfs(['ls', repository], { env })).toMatchObject({ status: 0, stderr: '' });
  });

  test('and takes no for an answer', async () => {
    const env = home();
    expect(await atTerminal(['login', repository], env, [[/\(y\/n\) /, 'n']])).toMatchObject({ status: 4, text: expect.stringContaining('was not accepted') as string });
    expect(readdirSync(env['HOME'] ?? '')).toEqual(['run']);
  });

  test.each([
    ['the first question', []],
    ['the second one', [[/\(y\/n\) /, 'y']]],
  ] as const)('Ctrl-C at %s ends it', async (_, before) => {
    const question = before.length === 0 ? /\(y\/n\) / : /password of backup@pbs: /;
    const asked = await atTerminal(['login', repository], home(), [...before, [question, '\x03']]);
    expect(asked).toMatchObject({ status: 130, text: expect.stringContaining('interrupted; nothing was done') as string });
  });
});

describe('a mount in the background', () => {
  test('asks before it leaves the terminal, and keeps the password to itself', async () => {
    const env = home({ PBS_ENCRYPTION_PASSWORD: 'other' });
    const point = join(env['HOME'] ?? '', 'mnt');
    mkdirSync(point);
    const log = join(env['HOME'] ?? '', 'log');
    const asked = await atTerminal(['mount', repository, point, '--log', log, '--json'], env, [
      [/\(y\/n\) /, 'y'],
      [/password of backup@pbs: /, 'secret\r'],
    ]);
    expect(asked.status, asked.text + readLog(log)).toBe(0);
    try {
      const { pid, source } = JSON.parse(/\{.*\}/.exec(asked.text)?.[0] ?? '{}') as { pid: number; source: string };
      expect(source).toBe(repository);
      expect(await readdir(join(point, 'ct'))).toEqual(readdirSync(join(sample, 'ct')));
      const outside = readFileSync(`/proc/${pid}/environ`, 'utf8') + readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readLog(log);
      expect(outside).not.toMatch(/secret|PBS_ENCRYPTION_PASSWORD/);
    } finally {
      await pbsfs(['umount', point]);
    }
  });

  test('takes the password from the environment, and the rest from -o', async () => {
    const env = home({ PBS_PASSWORD: 'secret' });
    const point = join(env['HOME'] ?? '', 'mnt');
    mkdirSync(point);
    const { status, stderr, stdout } = await pbsfs(['mount', repository, point, '--json', '--log', join(env['HOME'] ?? '', 'log'), '-o', `fingerprint=${fingerprint},timeout=20`], { env });
    expect(status, stderr).toBe(0);
    try {
      // Not synchronously: the server is in this process.
      expect(await readdir(point)).toContain('ct');
      const { pid } = JSON.parse(stdout) as { pid: number };
      expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain('PBS_PASSWORD');
    } finally {
      await pbsfs(['umount', point]);
    }
  });

  test('says why it could not', async () => {
    const env = home({ PBS_PASSWORD: 'secret' });
    const point = join(env['HOME'] ?? '', 'mnt');
    mkdirSync(point);
    const { status, stderr } = await pbsfs(['mount', '127.0.0.1:1:store', point, '--timeout', '1', '--log', join(env['HOME'] ?? '', 'log')], { env });
    expect(stderr).toContain('connection refused');
    expect(status).toBe(10);
  });
});

function readLog(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

test('snapshots that may be listed and not read are not called damaged', async () => {
  const served = await serveStores({ stores: { store1: sample }, users: { 'audit@pbs': { password: 'secret', roles: { '/datastore/store1': 'DatastoreAudit' } } } });
  const ended = await pbsfs(['snapshots', '--repository', `audit@pbs@127.0.0.1:${served.port}:store1`, 'ct/113'], { env: known({ PBS_FINGERPRINT: served.fingerprint }) });
  expect(ended).toMatchObject({ status: 1, stdout: expect.stringMatching(/ct\/113\/2021.*\(not readable: .*neither Datastore\.Read nor Datastore\.Backup/) as string });
  expect(ended.stdout).not.toContain('damaged');
});
