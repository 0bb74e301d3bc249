/** `pbsfs serve` and `pbsfs user` as an admin has them. */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { TLSSocket } from 'node:tls';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { eventually, pbsfs, program, start, type Running } from '../support/command.js';
import { emptyStore } from '../support/new-snapshots.js';
import { ask, RawConnection, request } from '../support/raw-https.js';
import { scratchDirectory } from '../support/scratch.js';

const password = { PBSFS_USER_PASSWORD: 'geheim' };

interface Place {
  readonly directory: string;
  readonly users: string;
}

function place(): Place {
  const directory = scratchDirectory();
  return { directory, users: join(directory, 'etc', 'users.json') };
}

async function user({ users }: Place, args: readonly string[], env: Readonly<Record<string, string>> = password): Promise<string> {
  const { status, stdout, stderr } = await pbsfs(['user', ...args, '--users', users], { env });
  if (status !== 0) throw new Error(`${status}: ${stderr}`);
  return stdout;
}

interface Serving {
  readonly running: Running;
  readonly port: number;
}

async function serve({ users }: Place, args: readonly string[]): Promise<Serving> {
  const running = start(process.execPath, [program, 'serve', '--users', users, '--listen', '127.0.0.1:0', ...args]);
  onTestFinished(() => void running.child.kill('SIGKILL'));
  await running.wrote(/fingerprint/);
  return { running, port: Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(running.text())?.[1]) };
}

async function tokenOf(at: Place, id: string): Promise<string> {
  const { value } = JSON.parse(await user(at, ['token', id, '--json'])) as { value: string };
  return `PBSAPIToken ${id}:${value}`;
}

describe('users', () => {
  it('are added, given tokens and roles, listed and removed', async () => {
    const at = place();
    await user(at, ['add', 'backup@pbs']);
    await user(at, ['add', 'tokens@pbs', '--no-password'], {});
    await user(at, ['role', 'backup@pbs', '/datastore/store1/', 'DatastorePowerUser']);
    await user(at, ['role', 'backup@pbs', '/datastore/store1/prod/eu', 'NoAccess', '--no-propagate']);
    const secret = (await user(at, ['token', 'backup@pbs!laptop'])).split('\n')[1] ?? '';
    expect(secret).toMatch(/^[0-9a-f-]{36}$/);
    const listed = (await user(at, ['list', '--json'])).trim().split('\n').map((line) => JSON.parse(line) as object);
    expect(listed).toEqual([
      {
        name: 'backup@pbs',
        login: 'password',
        roles: [
          { path: '/datastore/store1', role: 'DatastorePowerUser', propagate: true },
          { path: '/datastore/store1/prod/eu', role: 'NoAccess', propagate: false },
        ],
      },
      { name: 'backup@pbs!laptop', login: 'secret', roles: [] },
      { name: 'tokens@pbs', login: 'none', roles: [] },
    ]);
    const file = readFileSync(at.users, 'utf8');
    expect(file).not.toContain('geheim');
    expect(file).not.toContain(secret);
    expect(statSync(at.users).mode & 0o777).toBe(0o600);
    await user(at, ['role', 'backup@pbs', '/datastore/store1', 'DatastorePowerUser', '--remove']);
    await user(at, ['remove', 'backup@pbs!laptop']);
    await user(at, ['remove', 'tokens@pbs']);
    expect((await user(at, ['list', '--json'])).trim().split('\n')).toHaveLength(1);
  });

  it('of calls that come together are all there', async () => {
    const at = place();
    await Promise.all(['one', 'two', 'three', 'four', 'five'].map((name) => user(at, ['add', `${name}@pbs`])));
    expect((await user(at, ['list', '--json'])).trim().split('\n')).toHaveLength(5);
  });

  it('have passwords from a file or standard input, never from an argument', async () => {
    const at = place();
    const file = join(at.directory, 'password');
    writeFileSync(file, 'from a file\n', { mode: 0o600 });
    await user(at, ['add', 'file@pbs', '--password-file', file], {});
    const { status, stderr } = await pbsfs(['user', 'add', 'arg@pbs', 'geheim', '--users', at.users]);
    expect([status, stderr]).toEqual([2, expect.stringContaining('takes USER@REALM')]);
  });

  it('that make no sense are refused', async () => {
    const at = place();
    await user(at, ['add', 'a@pbs']);
    for (const [status, ...args] of [
      [8, 'add', 'a@pbs'],
      [2, 'add', 'norealm'],
      [2, 'add', 'a@pbs!token'],
      [2, 'token', 'a@pbs'],
      [3, 'token', 'b@pbs!tok'],
      [3, 'role', 'b@pbs', '/datastore', 'Admin'],
      [2, 'role', 'a@pbs', '/datastore', 'Boss'],
      [2, 'role', 'a@pbs', '/elsewhere', 'Admin'],
      [2, 'role', 'a@pbs', '/datastore/../x', 'Admin'],
      [3, 'remove', 'b@pbs'],
      [2, 'nonsense'],
      [2, 'list', '--remove'],
    ] as const) {
      expect((await pbsfs(['user', ...args, '--users', at.users], { env: password })).status, args.join(' ')).toBe(status);
    }
  });

  it('whose file others can read, or that is missing or broken, keep the server from starting', async () => {
    const at = place();
    const store = emptyStore();
    const refused = async (): Promise<unknown> => {
      const { status, stderr } = await pbsfs(['serve', store, '--name', 'store1', '--users', at.users, '--listen', '127.0.0.1:0']);
      return [status, stderr];
    };
    mkdirSync(join(at.directory, 'etc'));
    expect(await refused()).toEqual([3, expect.stringContaining('does not exist')]);
    await user(at, ['add', 'a@pbs']);
    chmodSync(at.users, 0o640);
    expect(await refused()).toEqual([4, expect.stringContaining('chmod 600')]);
    chmodSync(at.users, 0o600);
    writeFileSync(at.users, '{"version":1,"users":{"a@pbs":{"password":"geheim"}}}');
    expect(await refused()).toEqual([1, expect.stringContaining('users.a@pbs.password is no hashed secret')]);
  });
});

describe('a server', () => {
  it('serves several stores, under names, with a certificate that stays', async () => {
    const at = place();
    await user(at, ['add', 'root@pam']);
    const stores = ['--store', `first=${emptyStore()}`, '--store', `second=${emptyStore()}`];
    const { running, port } = await serve(at, stores);
    const login = await ask(port, request('POST /api2/json/access/ticket', { 'content-type': 'application/json' }, '{"username":"root@pam","password":"geheim"}'));
    const { ticket } = (JSON.parse(login.body) as { data: { ticket: string } }).data;
    const cookie = `PBSAuthCookie=${ticket}`;
    const listed = JSON.parse((await ask(port, request('GET /api2/json/admin/datastore', { cookie }))).body) as { data: { store: string }[] };
    expect(listed.data.map(({ store }) => store)).toEqual(['first', 'second']);
    const usage = JSON.parse((await ask(port, request('GET /api2/json/status/datastore-usage', { cookie }))).body) as { data: { total: number }[] };
    expect(usage.data.every(({ total }) => total > 0)).toBe(true);
    const etc = join(at.directory, 'etc');
    for (const name of ['server-key.pem', 'ticket.key', 'users.json']) expect(statSync(join(etc, name)).mode & 0o077, name).toBe(0);
    const told = /fingerprint.* is (\S+)/.exec(running.text())?.[1];
    running.child.kill('SIGTERM');
    expect(await running.exited).toBe(0);
    const again = await serve(at, stores);
    expect(/fingerprint.* is (\S+)/.exec(again.running.text())?.[1]).toBe(told);
    expect((await ask(again.port, request('GET /api2/json/version', { cookie }))).status).toBe(200);
    again.running.child.kill('SIGTERM');
    expect(await again.running.exited).toBe(0);
  });

  it('keeps logs and metrics where it is told to, without secrets', async () => {
    const at = place();
    await user(at, ['add', 'backup@pbs']);
    const authorization = await tokenOf(at, 'backup@pbs!tok');
    const [audit, access] = [join(at.directory, 'audit.log'), join(at.directory, 'access.log')];
    const { running, port } = await serve(at, [emptyStore(), '--name', 'store1', '--audit-log', audit, '--access-log', access, '--metrics', '127.0.0.1:0']);
    await ask(port, request('GET /api2/json/version?password=geheim', { authorization }));
    await ask(port, request('POST /api2/json/access/ticket', { 'content-type': 'application/x-www-form-urlencoded' }, 'username=backup@pbs&password=geheim'));
    const metrics = Number(/metrics are on http:\/\/127\.0\.0\.1:(\d+)/.exec(running.text())?.[1]);
    const text = await new Promise<string>((resolve, reject) => {
      http.get({ host: '127.0.0.1', port: metrics, path: '/metrics' }, (response) => {
        let body = '';
        response.on('data', (piece: Buffer) => (body += piece.toString()));
        response.on('end', () => resolve(body));
      }).on('error', reject);
    });
    expect(text).toContain('pbsfs_server_requests_total{status="200"} 1');
    expect(text).toContain('pbsfs_server_logins_total{result="ok"} 1');
    await eventually(() => existsSync(access) && readFileSync(access, 'utf8').split('\n').length === 3, 'two lines');
    const lines = readFileSync(access, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines[0]).toMatchObject({ user: 'backup@pbs!tok', method: 'GET', target: '/api2/json/version?password=***', status: 400 });
    expect(JSON.parse(readFileSync(audit, 'utf8').trim().split('\n')[0] ?? '')).toMatchObject({ who: 'backup@pbs', what: 'login', result: 'ok' });
    const all = [access, audit].map((path) => readFileSync(path, 'utf8')).join('') + running.text();
    for (const secret of ['geheim', authorization.split(':')[1] ?? '']) expect(all).not.toContain(secret);
  });

  it('takes a new certificate and new log files at SIGHUP, and keeps its connections', async () => {
    const at = place();
    await user(at, ['add', 'backup@pbs']);
    const access = join(at.directory, 'access.log');
    const { running, port } = await serve(at, [emptyStore(), '--name', 'store1', '--access-log', access]);
    const fingerprint = async (): Promise<string> => {
      const connection = await RawConnection.open(port);
      const found = (connection.socket as TLSSocket).getPeerCertificate().fingerprint256.toLowerCase();
      connection.close();
      return found;
    };
    const kept = await RawConnection.open(port);
    const before = await fingerprint();
    for (const name of ['server.pem', 'server-key.pem']) rmSync(join(at.directory, 'etc', name));
    renameSync(access, `${access}.1`);
    running.child.kill('SIGHUP');
    await running.wrote(/SIGHUP: logs are opened anew/);
    const after = await fingerprint();
    expect(after).not.toBe(before);
    expect(running.text()).toContain(after);
    kept.send(request('GET /api2/json/ping'));
    expect((await kept.answer()).status).toBe(200);
    kept.close();
    await eventually(() => existsSync(access) && readFileSync(access, 'utf8').includes('/ping'), 'the new log');
    writeFileSync(join(at.directory, 'etc', 'server.pem'), 'nonsense');
    running.child.kill('SIGHUP');
    await running.wrote(/the certificate stays/);
    expect(await fingerprint()).toBe(after);
  });

  it('ends at once with nothing open, and at the second signal with something', async () => {
    const at = place();
    await user(at, ['add', 'backup@pbs']);
    const authorization = await tokenOf(at, 'backup@pbs!tok');
    const store = emptyStore();
    const { running, port } = await serve(at, [store, '--name', 'store1']);
    await user(at, ['role', 'backup@pbs', '/datastore/store1', 'DatastoreBackup']);
    await user(at, ['role', 'backup@pbs!tok', '/datastore/store1', 'DatastoreBackup']);
    await new Promise((resolve) => setTimeout(resolve, 700));
    const connection = await RawConnection.open(port);
    connection.send(request('GET /api2/json/backup?store=store1&backup-type=host&backup-id=elsa&backup-time=1717597476', { authorization, connection: 'upgrade', upgrade: 'proxmox-backup-protocol-v1' }));
    expect(await connection.answer()).toMatchObject({ status: 101 });
    running.child.kill('SIGTERM');
    await running.wrote(/after 1 sessions/);
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(running.child.exitCode).toBe(null);
    running.child.kill('SIGTERM');
    expect(await running.exited).toBe(0);
    expect(existsSync(join(store, 'host/elsa/2024-06-05T14:24:36Z'))).toBe(false);
  });

  it('wants sense', async () => {
    const store = emptyStore();
    for (const args of [[], ['--name', 'x'], ['--store', 'nopath'], [store, '--name', 'ab'], [store, '--name', 'a/b'], ['--store', `one=${store}`, store, '--name', 'one'], [store, '--name', 'store1', '--listen', '8007'], [store, '--name', 'store1', '--cert', 'x'], [store, '--name', 'store1', '--drain-timeout', 'long']]) {
      expect((await pbsfs(['serve', ...args])).status, args.join(' ')).toBe(2);
    }
    expect((await pbsfs(['serve', scratchDirectory(), '--name', 'store1'])).status).toBe(5);
  });
});
