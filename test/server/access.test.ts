/** Logins, tickets, tokens and what they give. Format: protocol, sections 6 and 7. */
import { chmodSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { Authenticator } from '../../src/server/access/authenticator.js';
import { FailedLogins } from '../../src/server/access/failed-logins.js';
import { callerOf } from '../../src/server/access/known-caller.js';
import { privilegesOf, rolePrivileges, rolesOn, type Grant, type RoleName } from '../../src/server/access/roles.js';
import { hashSecret, verifySecret } from '../../src/server/access/secret-hash.js';
import { Tickets } from '../../src/server/access/tickets.js';
import { changeUsers } from '../../src/server/access/users-file.js';
import { endpoint } from '../../src/server/endpoint.js';
import { ask, RawConnection, request, type RawAnswer } from '../support/raw-https.js';
import { recordOf, serveStores, type Served } from '../support/served-stores.js';

const secret = '5d3f0c3e-8f0a-4a52-9f0e-1c8d3a6f2b11';
const odd = 'a b"#<>`?{}%:=/+\u00fc';

let served: Served;
let port: number;
beforeAll(async () => {
  const whoami = (['GET', 'POST'] as const).map((method) => endpoint({ method, path: '/whoami', parameters: {}, run: ({ caller }) => Promise.resolve({ data: caller.authId }) }));
  served = await serveStores({
    users: {
      'user@pbs': { password: 'secret', tokens: { tok: { secret }, odd: { secret: odd } } },
      'd\u00fcdel@pbs': { password: 'p\u00e4ss', tokens: { tok: { secret } } },
      'tokens@pbs': { tokens: { tok: { secret } } },
    },
    offers: { endpoints: whoami, protocols: [] },
  });
  ({ port } = served);
});

const login = (parameters: object) => ask(port, request('POST //api2/json/access/ticket', { 'content-type': 'application/json' }, JSON.stringify(parameters)));
const whoami = (headers: Readonly<Record<string, string>>, method = 'GET') => ask(port, request(`${method} /api2/json/whoami`, headers));

interface LoginData {
  readonly username: string;
  readonly ticket: string;
  readonly CSRFPreventionToken: string;
}

function dataOf(answer: RawAnswer): LoginData {
  return (JSON.parse(answer.body) as { data: LoginData }).data;
}

async function timed<T>(action: Promise<T>): Promise<{ result: T; ms: number }> {
  const started = performance.now();
  return { result: await action, ms: performance.now() - started };
}

describe('login', () => {
  it('gives a ticket and a token against forged requests', async () => {
    const answer = await login({ username: 'user@pbs', password: 'secret' });
    expect(answer).toMatchObject({ status: 200, headers: { 'content-type': 'application/json' } });
    expect(JSON.parse(answer.body)).toMatchObject({ data: { username: 'user@pbs' }, status: 200, success: true });
    expect(dataOf(answer).ticket).toMatch(/^PBS:user@pbs:[0-9A-F]{8}::[A-Za-z0-9+/]+$/);
    expect(dataOf(answer).CSRFPreventionToken).toMatch(/^[0-9A-F]{8}:[A-Za-z0-9+/]+$/);
  });

  it('is renewed by a ticket, of the same user only', async () => {
    const { ticket } = dataOf(await login({ username: 'user@pbs', password: 'secret' }));
    const renewed = dataOf(await login({ username: 'user@pbs', password: ticket }));
    expect((await whoami({ cookie: `PBSAuthCookie=${renewed.ticket}` })).body).toBe('{"data":"user@pbs"}');
    expect((await login({ username: 'd\u00fcdel@pbs', password: ticket })).status).toBe(401);
  });

  it('works for names and passwords of any letters, and as a form', async () => {
    const { ticket } = dataOf(await ask(port, request('POST /api2/json/access/ticket', { 'content-type': 'application/x-www-form-urlencoded' }, 'username=d%C3%BCdel%40pbs&password=p%C3%A4ss')));
    expect(ticket).toMatch(/^PBS:d%C3%BCdel@pbs:/);
    expect((await whoami({ cookie: `PBSAuthCookie=${ticket}` })).body).toBe('{"data":"d\u00fcdel@pbs"}');
    expect((await whoami({ cookie: `PBSAuthCookie=${encodeURIComponent(ticket)}` })).status).toBe(200);
  });

  it('takes three seconds to be wrong, and tells nothing', async () => {
    const wrong = [
      { username: 'user@pbs', password: 'Secret' },
      { username: 'nobody@pbs', password: 'secret' },
      { username: 'user@elsewhere', password: 'secret' },
      { username: 'tokens@pbs', password: 'secret' },
      { username: 'user@pbs', password: 'PBS:user@pbs:00000000::AAAA' },
      { username: 'user@pbs', password: 'secret', 'tfa-challenge': 'x' },
    ];
    const answers = await Promise.all(wrong.map((each) => timed(login(each))));
    for (const { result, ms } of answers) {
      expect(result).toMatchObject({ status: 401, body: 'authentication failed', headers: { 'content-type': 'application/json;charset=UTF-8' } });
      expect(result.headers['set-cookie']).toContain('__Host-PBSAuthCookie=;');
      expect(ms).toBeGreaterThanOrEqual(3000);
      expect(ms).toBeLessThan(4500);
    }
  });

  it('is refused at once where none can be meant', async () => {
    for (const each of [{ username: 'user@pbs' }, { username: 'user', password: 'x' }, { username: 'user@pbs!tok', password: secret }, { password: 'x' }]) {
      const { result, ms } = await timed(login(each));
      expect(result.status).toBe(400);
      expect(ms).toBeLessThan(1000);
    }
  });

  it('can give the ticket as a cookie only', async () => {
    const answer = await login({ username: 'user@pbs', password: 'secret', 'http-only': true });
    const [, ticket = ''] = /^__Host-PBSAuthCookie=([^;]+);.*HttpOnly/.exec(answer.headers['set-cookie'] ?? '') ?? [];
    expect(dataOf(answer).ticket).toBeUndefined();
    expect(answer.body).toContain('::ticketinfo"');
    expect((await whoami({ cookie: `a=b; __Host-PBSAuthCookie=${ticket}` })).status).toBe(200);
  });

  it('ends with DELETE, for a browser', async () => {
    const answer = await ask(port, request('DELETE /api2/json/access/ticket'));
    expect(answer).toMatchObject({ status: 200, body: '{"data":{},"status":200,"success":true}' });
    expect(answer.headers['set-cookie']).toContain('expires=');
  });

  it('is told to the audit log, without what is secret', () => {
    expect(served.audit).toContainEqual({ who: 'user@pbs', from: '127.0.0.1', what: 'login', result: 'ok' });
    expect(served.audit).toContainEqual({ who: 'nobody@pbs', from: '127.0.0.1', what: 'login', result: 'refused', reason: 'authentication failed' });
    const logged = JSON.stringify([served.audit, served.accesses, served.lines]);
    for (const text of ['secret"', 'PBS:user', secret, 'p\u00e4ss']) expect(logged).not.toContain(text);
  });
});

describe('tickets', () => {
  it('need the other token for all but GET', async () => {
    const { ticket, CSRFPreventionToken } = dataOf(await login({ username: 'user@pbs', password: 'secret' }));
    const other = dataOf(await login({ username: 'd\u00fcdel@pbs', password: 'p\u00e4ss' }));
    const cookie = `PBSAuthCookie=${ticket}`;
    expect((await whoami({ cookie })).status).toBe(200);
    expect((await whoami({ cookie, csrfpreventiontoken: CSRFPreventionToken }, 'POST')).status).toBe(200);
    const [without, anothers] = await Promise.all([whoami({ cookie }, 'POST'), whoami({ cookie, csrfpreventiontoken: other.CSRFPreventionToken }, 'POST')]);
    expect([without.status, anothers.status]).toEqual([401, 401]);
    expect(without.headers['content-type']).toBeUndefined();
  });

  it('go before a token, and what is wrong with one does not fall back', async () => {
    const answer = await whoami({ cookie: 'PBSAuthCookie=PBS:user@pbs:00000000::x', authorization: `PBSAPIToken user@pbs!tok:${secret}` });
    expect(answer.status).toBe(401);
  });

  it('last two hours, may be five minutes early, and are signed with the password', () => {
    let now = 1_700_000_000;
    const tickets = new Tickets(Buffer.alloc(32, 1), () => now);
    const isValid = (text: string, hash = 'hash') => {
      const ticket = tickets.open(text);
      return ticket?.userId === 'a@pbs' && tickets.isValid(ticket, hash);
    };
    const [ticket, csrf] = [tickets.ticket('a@pbs', 'hash'), tickets.csrfToken('a@pbs')];
    for (const [age, valid] of [[0, true], [7200, true], [7201, false], [-300, true], [-301, false]] as const) {
      now = 1_700_000_000 + age;
      expect([isValid(ticket), tickets.isCsrfToken(csrf, 'a@pbs')]).toEqual([valid, valid]);
    }
    now = 1_700_000_000;
    expect(isValid(ticket, 'another')).toBe(false);
    expect(isValid(ticket.replace('a@pbs', 'b@pbs'))).toBe(false);
    expect(isValid(ticket.slice(0, -1) + (ticket.endsWith('A') ? 'B' : 'A'))).toBe(false);
    const other = new Tickets(Buffer.alloc(32, 2), () => now).open(ticket);
    expect(other !== undefined && new Tickets(Buffer.alloc(32, 2), () => now).isValid(other, 'hash')).toBe(false);
    for (const text of ['', 'PBS:', 'PBS:a@pbs::', `PBS:%zz:6553F100::${'A'.repeat(43)}`, 'x'.repeat(5000)]) expect(tickets.open(text)).toBeUndefined();
  });
});

describe('tokens', () => {
  it('come after a space or an equals sign, as they are or percent-encoded', async () => {
    for (const separator of [' ', '=']) {
      expect((await whoami({ authorization: `PBSAPIToken${separator}user@pbs!tok:${secret}` })).body).toBe('{"data":"user@pbs!tok"}');
    }
    expect((await whoami({ authorization: `PBSAPIToken user@pbs!odd:${encodeURIComponent(odd)}` })).status).toBe(200);
    expect((await whoami({ authorization: `PBSAPIToken=tokens@pbs!tok:${secret}` }, 'POST')).status).toBe(200);
    expect((await whoami({ authorization: Buffer.from(`PBSAPIToken d\u00fcdel@pbs!tok:${secret}`).toString('latin1') })).status).toBe(200);
  });

  it('that are wrong take three seconds', async () => {
    const wrong = ['', 'Basic dTpw', `pbsapitoken user@pbs!tok:${secret}`, `PBSAPIToken user@pbs:${secret}`, `PBSAPIToken user@pbs!tok:${secret}0`, `PBSAPIToken user@pbs!other:${secret}`, `PBSAPIToken tokens@pbs!odd:${secret}`, 'PBSAPIToken user@pbs!tok', 'PBSAPIToken user@pbs!tok:%zz'];
    const answers = await Promise.all(wrong.map((authorization) => timed(whoami(authorization === '' ? {} : { authorization }))));
    for (const { result, ms } of answers) {
      expect(result).toMatchObject({ status: 401, body: 'authentication failed' });
      expect(result.headers['content-type']).toBeUndefined();
      expect(ms).toBeGreaterThanOrEqual(3000);
    }
  });

  it('are looked at in no time, however the header is made', async () => {
    const authenticator = new Authenticator({ current: () => Promise.resolve(new Map()) }, new Tickets(Buffer.alloc(32)));
    const credentials = { method: 'GET', cookies: [], csrfToken: undefined, address: '::1' };
    const { ms } = await timed(authenticator.authenticate({ ...credentials, authorization: `PBSAPIToken ${' '.repeat(200_000)}` }).catch(() => undefined));
    expect(ms).toBeLessThan(1000);
  });

  it('cost their hashing once', async () => {
    const connection = await RawConnection.open(port);
    const started = performance.now();
    for (let i = 0; i < 50; i++) {
      connection.send(request('GET /api2/json/whoami', { authorization: `PBSAPIToken user@pbs!tok:${secret}` }));
      expect((await connection.answer()).status).toBe(200);
    }
    expect(performance.now() - started).toBeLessThan(50 * 20);
    connection.close();
  });

  it('and users that are changed or removed are so within a second, without a restart', async () => {
    const authorization = `PBSAPIToken new@pbs!tok:${secret}`;
    const changed = async (change: Parameters<typeof changeUsers>[1]): Promise<void> => {
      await changeUsers(served.usersPath, change);
      await setTimeout(600);
    };
    const record = await recordOf({ password: 'first', tokens: { tok: { secret } } });
    await changed((users) => new Map([...users, ['new@pbs', record]]));
    expect((await whoami({ authorization })).status).toBe(200);
    const { ticket } = dataOf(await login({ username: 'new@pbs', password: 'first' }));
    const second = await hashSecret('second');
    await changed((users) => new Map([...users, ['new@pbs', { ...record, password: second }]]));
    expect((await whoami({ cookie: `PBSAuthCookie=${ticket}` })).status).toBe(401);
    await changed((users) => new Map([...users].filter(([id]) => id !== 'new@pbs')));
    expect((await whoami({ authorization })).status).toBe(401);
  });

  it('stay as they were when the file becomes one that others can read', async () => {
    chmodSync(served.usersPath, 0o644);
    await setTimeout(600);
    expect((await whoami({ authorization: `PBSAPIToken user@pbs!tok:${secret}` })).status).toBe(200);
    expect(served.lines.join('\n')).toMatch(/can't be used.*chmod 600/);
    chmodSync(served.usersPath, 0o600);
  });
});

describe('wrong passwords', () => {
  it('of one address are limited, and those of others go on', async () => {
    const users = new Map([['user@pbs', await recordOf({ password: 'secret' })]]);
    const authenticator = new Authenticator({ current: () => Promise.resolve(users) }, new Tickets(Buffer.alloc(32)), new FailedLogins(3));
    const attempt = (password: string, address: string) => authenticator.login({ username: 'user@pbs', password, address }).then(() => 200, (error: { status: number }) => error.status);
    const statuses = [await attempt('a', '::1'), await attempt('b', '::1'), await attempt('c', '::1'), await attempt('secret', '::1'), await attempt('secret', '::2')];
    expect(statuses).toEqual([401, 401, 401, 429, 200]);
    const together = await Promise.all(Array.from({ length: 10 }, () => attempt('wrong', '::3')));
    const wrong = together.filter((status) => status === 401).length;
    // Those that are compared at the same moment may go beyond it.
    expect(wrong).toBeGreaterThanOrEqual(3);
    expect(wrong).toBeLessThanOrEqual(3 + 2);
    expect(await Promise.all(Array.from({ length: 8 }, () => attempt('secret', '::4')))).toEqual(Array<number>(8).fill(200));
  });

  it('are compared with nothing in the same time', async () => {
    const kept = await hashSecret('secret');
    const median = async (hash: string | undefined) => {
      const times: number[] = [];
      for (let i = 0; i < 5; i++) times.push((await timed(verifySecret('wrong', hash))).ms);
      return times.sort((a, b) => a - b)[2] ?? 0;
    };
    const [known, unknown] = [await median(kept), await median(undefined)];
    expect(Math.max(known, unknown) / Math.min(known, unknown)).toBeLessThan(2);
  });
});

describe('roles', () => {
  const grant = (path: string, role: RoleName, propagate = true): Grant => ({ path: path.split('/').filter((part) => part !== ''), role, propagate });
  const on = (grants: readonly Grant[], path: string) => [...rolesOn(grants, path.split('/').filter((part) => part !== ''))].sort();

  it('have the privileges of their table', () => {
    expect([...privilegesOf(new Set<RoleName>(['DatastoreReader']))].sort()).toEqual(['Datastore.Audit', 'Datastore.Read', 'Datastore.Verify']);
    expect([...privilegesOf(new Set<RoleName>(['DatastorePowerUser', 'DatastoreAudit']))].sort()).toEqual(['Datastore.Audit', 'Datastore.Backup', 'Datastore.Prune']);
    expect(rolePrivileges.Admin).toHaveLength(6);
  });

  it('of a deeper place take the place of the others', () => {
    const grants = [grant('/', 'DatastoreAudit'), grant('/datastore/a', 'DatastoreBackup'), grant('/datastore/a', 'DatastoreReader'), grant('/datastore/a/ns1', 'NoAccess'), grant('/datastore/a/ns1/ns2', 'DatastoreAdmin')];
    expect(on(grants, '/datastore/b')).toEqual(['DatastoreAudit']);
    expect(on(grants, '/datastore/a')).toEqual(['DatastoreBackup', 'DatastoreReader']);
    expect(on(grants, '/datastore/a/other/deep')).toEqual(['DatastoreBackup', 'DatastoreReader']);
    expect(on(grants, '/datastore/a/ns1/x')).toEqual([]);
    expect(on(grants, '/datastore/a/ns1/ns2/x')).toEqual(['DatastoreAdmin']);
    expect(on(grants, '/datastore/ab')).toEqual(['DatastoreAudit']);
  });

  it('that do not propagate are for the place itself', () => {
    const grants = [grant('/datastore', 'DatastoreAudit'), grant('/datastore/a', 'DatastoreBackup', false)];
    expect(on(grants, '/datastore/a')).toEqual(['DatastoreBackup']);
    expect(on(grants, '/datastore/a/ns1')).toEqual(['DatastoreAudit']);
  });

  it('of a token count where its user has the privilege, too; root@pam has all, its tokens only theirs', async () => {
    const user = await recordOf({ roles: { '/datastore/a': 'DatastoreBackup' }, tokens: { tok: { secret, roles: { '/datastore': 'DatastorePowerUser' } }, none: { secret } } });
    const root = await recordOf({ tokens: { tok: { secret, roles: { '/datastore/a': 'DatastoreAudit' } } } });
    const users = new Map([['user@pbs', user], ['root@pam', root]]);
    const held = (name: string, token: string | undefined, store = 'a') => [...callerOf(users, { user: name, token }, '').privilegesOn(store, [])].sort();
    expect(held('user@pbs', 'tok')).toEqual(['Datastore.Backup']);
    expect(held('user@pbs', 'tok', 'b')).toEqual([]);
    expect(held('user@pbs', 'none')).toEqual([]);
    expect(held('root@pam', undefined)).toHaveLength(6);
    expect(held('root@pam', 'tok')).toEqual(['Datastore.Audit']);
    expect(callerOf(new Map(), { user: 'root@pam', token: undefined }, '').privilegesOn('a', []).size).toBe(0);
    expect(['user@pbs', 'root@pam'].map((name) => callerOf(users, { user: name, token: undefined }, '').isAdministrator)).toEqual([false, true]);
  });
});
