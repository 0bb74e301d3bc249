/** Calls and logins, on real TLS. Exchanges are those that other clients were recorded with. */
import { appendFileSync, chmodSync, closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseRepository } from '../../../src/format/repository.js';
import type { OpenOptions } from '../../../src/store/open-options.js';
import { ClientState, type Ticket } from '../../../src/store/remote/client-state.js';
import { HttpClient, type HttpRequest } from '../../../src/store/remote/http-client.js';
import { openServer, type Server } from '../../../src/store/remote/server.js';
import { TicketAuthentication } from '../../../src/store/remote/ticket-authentication.js';
import { selfSignedCertificate, type Certificate } from '../../support/certificate.js';
import { scratchDirectory } from '../../support/scratch.js';
import { httpAnswer, scriptedServer } from '../../support/scripted-server.js';
import { SmallServer, give, refuse } from '../../support/small-server.js';
import { TcpProxy } from '../../support/tcp-proxy.js';

let certificate: Certificate;
let small: SmallServer;
const opened: Server[] = [];
const warnings: string[] = [];
const password = 'pass"w\u00f6rd';
const authorized = { PBS_PASSWORD: password };

beforeAll(() => {
  certificate = selfSignedCertificate();
});
beforeEach(async () => {
  warnings.length = 0;
  small = await SmallServer.start(certificate);
  small.password = password;
});
afterEach(async () => {
  for (const server of opened.splice(0)) await server.close();
  await small.close();
});

function open(environment: NodeJS.ProcessEnv, options: Partial<OpenOptions> = {}, { authId = 'backup@pbs', port = small.port } = {}): Server {
  const server = openServer(parseRepository(`${authId}@127.0.0.1:${port}:store1`), {
    environment,
    fingerprint: certificate.fingerprint,
    warn: (line) => warnings.push(line),
    timeoutMs: 5000,
    ...options,
  });
  opened.push(server);
  return server;
}

async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string; status?: number; text?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('it succeeded');
}

describe('the bytes that are sent', () => {
  it('are those of other clients: ticket, call, upgrade, session, on one connection', async () => {
    const answers = [
      httpAnswer('200 OK', '{"data":{"CSRFPreventionToken":"66607522:0Hk1","ticket":"PBS:backup@pbs:66607522::mC9k+/==","username":"backup@pbs"},"status":200,"success":true}', 'application/json'),
      httpAnswer('200 OK', '{"data":[]}'),
      httpAnswer('200 OK', '{"data":[]}'),
      httpAnswer('200 OK', '{"data":null}'),
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: proxmox-backup-protocol-v1\r\ndate: Wed, 25 Nov 2026 08:00:00 GMT\r\n\r\n',
    ];
    let seen = 0;
    const raw = await scriptedServer(certificate, (socket, received) => {
      const rest = received.slice(seen);
      const isWhole = /\r\n\r\n$/.test(rest) || rest.endsWith('}');
      if (!isWhole) return;
      seen = received.length;
      const next = answers.shift();
      if (next !== undefined) socket.write(next);
    });
    try {
      const server = open({ PBS_PASSWORD: 'secret' }, {}, { port: raw.port });
      await server.call('GET', '/admin/datastore/store1/groups', { ns: 'a/b', limit: undefined });
      await server.call('POST', '/admin/datastore/store1/prune', { 'keep-last': 1, 'backup-type': 'host', 'dry-run': true, 'backup-id': 'elsa' });
      await server.call('PUT', '/admin/datastore/store1/notes', { notes: 'a b&c=d \u00fc', 'backup-id': 'elsa' });
      const session = await server.openSession('backup', { store: 'store1', 'backup-type': 'host', 'backup-id': 'elsa', 'backup-time': 1717597476, debug: true, benchmark: false });
      const lost = session.request({ method: 'GET', path: '/previous_backup_time', bytesMax: 100 }).catch(() => undefined);
      await vi.waitFor(() => {
        expect(raw.received().toString('latin1')).toMatch(/PRI[^]*\/previous_backup_time|PRI[^]{90,}/);
      });
      session.close();
      await lost;
      const head = (lines: string[], body = ''): string => `${lines.join('\r\n')}\r\n\r\n${body}`;
      const host = `host: 127.0.0.1:${raw.port}`;
      const common = ['cookie: PBSAuthCookie=PBS:backup@pbs:66607522::mC9k+/==', 'csrfpreventiontoken: 66607522:0Hk1'];
      const agent = 'user-agent: proxmox-backup-client/1.0';
      const form = 'content-type: application/x-www-form-urlencoded';
      const login = '{"password":"secret","username":"backup@pbs"}';
      const prune = '{"backup-id":"elsa","backup-type":"host","dry-run":true,"keep-last":1}';
      const text =
        head(['POST //api2/json/access/ticket HTTP/1.1', agent, 'content-type: application/json', host, `content-length: ${login.length}`], login) +
        head(['GET /api2/json/admin/datastore/store1/groups?ns=a%2Fb HTTP/1.1', agent, form, ...common, host]) +
        head(['POST /api2/json/admin/datastore/store1/prune HTTP/1.1', agent, 'content-type: application/json', ...common, host, `content-length: ${prune.length}`], prune) +
        head(['PUT /api2/json/admin/datastore/store1/notes?backup-id=elsa&notes=a+b%26c%3Dd+%C3%BC HTTP/1.1', agent, form, ...common, host]) +
        head([
          'GET //api2/json/backup?backup-id=elsa&backup-time=1717597476&backup-type=host&benchmark=false&debug=true&store=store1 HTTP/1.1',
          agent,
          form,
          ...common,
          'connection: upgrade',
          'upgrade: proxmox-backup-protocol-v1',
          host,
        ]);
      const bytes = raw.received();
      expect(bytes.subarray(0, text.length).toString('latin1')).toBe(text);
      expect(framesOf(bytes.subarray(text.length)).slice(0, 3)).toEqual([
        { type: 4, flags: 0, stream: 0, payload: '00047ffffffe000500400000' },
        { type: 8, flags: 0, stream: 0, payload: (2147418111).toString(16) },
        { type: 1, flags: 5, stream: 1, payload: expect.any(String) as string },
      ]);
      expect(raw.names).toHaveLength(1);
    } finally {
      await raw.close();
    }
  });

  it('of a token: no login, the secret encoded, in every request', async () => {
    small.tokenSecret = 'a b"c';
    const server = open({ PBS_PASSWORD: 'a b"c\nsecond line' }, {}, { authId: 'backup@pbs!t01' });
    await server.call('GET', '/version');
    await server.call('POST', '/admin/datastore/store1/gc');
    const names = small.seen.map(({ rawHeaders }) => rawHeaders.filter((_, at) => at % 2 === 0));
    expect(names).toEqual([
      ['user-agent', 'content-type', 'authorization', 'host'],
      ['user-agent', 'content-type', 'authorization', 'host'],
    ]);
    expect(small.seen[0]?.rawHeaders[5]).toBe('PBSAPIToken backup@pbs!t01:a%20b%22c');
    (await server.openSession('reader', { store: 'store1' })).close();
    expect(small.seen.at(-1)?.rawHeaders.filter((_, at) => at % 2 === 0)).toEqual(['user-agent', 'content-type', 'authorization', 'connection', 'upgrade', 'host']);
    expect(small.connections).toBe(1);
  });
});

function framesOf(bytes: Buffer): { type: number; flags: number; stream: number; payload: string }[] {
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  expect(bytes.subarray(0, preface.length).toString()).toBe(preface);
  const frames = [];
  for (let at = preface.length; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    frames.push({ type: bytes[at + 3] ?? 0, flags: bytes[at + 4] ?? 0, stream: bytes.readUInt32BE(at + 5), payload: bytes.subarray(at + 9, at + 9 + length).toString('hex') });
    at += 9 + length;
  }
  return frames;
}

describe('a login', () => {
  it('happens once, before the first of many requests', async () => {
    const server = open(authorized);
    expect(small.connections).toBe(0);
    await Promise.all(Array.from({ length: 20 }, () => server.call('GET', '/version')));
    expect(small.logins).toBe(1);
    expect(small.connections).toBeLessThanOrEqual(4);
    expect(server.state()).toMatchObject({ connected: true, lastError: undefined, reconnections: 0 });
  });

  it('that is refused says so, without the password', async () => {
    const wrong = 'not-the-p\u00e4ssword';
    const failure = await failureOf(open({ PBS_PASSWORD: wrong }).call('GET', '/version'));
    expect(failure).toMatchObject({ code: 'LOGIN_FAILED', status: 401, text: 'authentication failed' });
    expect(JSON.stringify([failure, failure.message, small.seen.length])).not.toContain('not-the');
    expect(small.seen).toHaveLength(1);
  });

  it('is refused by some servers with another status', async () => {
    small.answer = (_request, response) => {
      refuse(response, 400, 'authentication failed');
    };
    expect(await failureOf(open(authorized).call('GET', '/version'))).toMatchObject({ code: 'LOGIN_FAILED', status: 400 });
  });

  it('with a second factor is refused with advice', async () => {
    small.answer = (_request, response) => {
      give(response, { CSRFPreventionToken: 'invalid', ticket: 'PBS:!tfa!%7B%7D:0::x', username: 'backup@pbs' });
    };
    expect((await failureOf(open(authorized).call('GET', '/version'))).message).toContain('use an API token');
  });

  it.each<[string, string]>([
    ['backup@pbs', "the password of backup@pbs is missing: set PBS_PASSWORD"],
    ['backup@pbs!t01', 'the secret of the API token backup@pbs!t01 is missing: set PBS_PASSWORD'],
  ])('without a password, of %s', async (authId, message) => {
    const askPassword = authId.includes('!') ? () => Promise.resolve('x') : undefined;
    const failure = await failureOf(open({}, { askPassword }, { authId }).call('GET', '/version'));
    expect(failure).toMatchObject({ code: 'LOGIN_FAILED', message: expect.stringContaining(message) as string });
    expect(small.connections).toBe(0);
  });

  it('asks a person last, and again never', async () => {
    const askPassword = vi.fn(() => Promise.resolve(password));
    const server = open({}, { askPassword });
    await server.call('GET', '/version');
    small.tickets.clear();
    await server.call('GET', '/version');
    expect(askPassword.mock.calls).toEqual([['backup@pbs']]);
    expect(small.logins).toBe(2);
  });

  it('is repeated once when the ticket is not taken any more', async () => {
    const server = open(authorized);
    await server.call('GET', '/version');
    small.tickets.clear();
    const all = await Promise.all([server.call('GET', '/version'), server.call('GET', '/nodes'), server.openSession('reader', { store: 'store1' })]);
    expect(all.slice(0, 2)).toEqual([{ path: '/api2/json/version' }, { path: '/api2/json/nodes' }]);
    expect(small.logins).toBe(2);
    small.isKnown = () => false;
    expect(await failureOf(server.call('GET', '/version'))).toMatchObject({ code: 'LOGIN_FAILED' });
  });
});

describe('the password', () => {
  const file = (text: string | Buffer): string => {
    const path = join(scratchDirectory(), 'secret file');
    writeFileSync(path, text);
    return path;
  };
  it.each<[string, () => NodeJS.ProcessEnv]>([
    ['of a file, its first line', () => ({ PBS_PASSWORD_FILE: file(`${password}\r\nmore`) })],
    ['of a descriptor', () => ({ PBS_PASSWORD_FD: String(openSync(file(`${password}\n`), 'r')), PBS_PASSWORD_FILE: '/none' })],
    ['of a command with quotes', () => ({ PBS_PASSWORD_CMD: `cat '${file(password)}'` })],
    ['of systemd', () => {
      const directory = scratchDirectory();
      writeFileSync(join(directory, 'proxmox-backup-client.password'), password);
      return { CREDENTIALS_DIRECTORY: directory };
    }],
    ['of the variable before all others', () => ({ PBS_PASSWORD: `${password}\nx`, PBS_PASSWORD_FILE: '/none', PBS_PASSWORD_CMD: 'false' })],
  ])('%s', async (_name, environment) => {
    const given = environment();
    expect(await open(given).call('GET', '/version')).toEqual({ path: '/api2/json/version' });
    if (given['PBS_PASSWORD_FD'] !== undefined) closeSync(Number(given['PBS_PASSWORD_FD']));
  });

  it.each<[string, (count: string) => [NodeJS.ProcessEnv, Partial<OpenOptions>]]>([
    ['of a descriptor', () => [{ PBS_PASSWORD_FD: String(openSync(file(`${password}\n`), 'r')) }, {}]],
    ['of a command', (count) => [{ PBS_PASSWORD_CMD: `sh -c 'echo asked >> ${count}; echo "$1"' sh '${password}'`, PATH: process.env['PATH'] }, {}]],
    ['of a person', (count) => [{}, { askPassword: () => (appendFileSync(count, 'asked\n'), Promise.resolve(password)) }]],
  ])('%s is found once, though the server is lost while it logs in', async (_name, given) => {
    const count = join(scratchDirectory(), 'count');
    let lost = 0;
    small.answer = (request) => {
      lost++;
      small.answer = lost < 3 ? small.answer : undefined;
      request.socket.destroy();
    };
    const [environment, options] = given(count);
    expect(await open(environment, options).call('GET', '/version')).toEqual({ path: '/api2/json/version' });
    expect(lost).toBe(3);
    if (environment['PBS_PASSWORD_FD'] === undefined) expect(readFileSync(count, 'utf8')).toBe('asked\n');
    else closeSync(Number(environment['PBS_PASSWORD_FD']));
  });

  it('that a person typed wrong is asked for again', async () => {
    const typed = ['wrong', password];
    const server = open({}, { askPassword: () => Promise.resolve(typed.shift() ?? '') });
    expect(await failureOf(server.call('GET', '/version'))).toMatchObject({ code: 'LOGIN_FAILED' });
    expect(await server.call('GET', '/version')).toEqual({ path: '/api2/json/version' });
  });

  it.each<[string, () => NodeJS.ProcessEnv, string, RegExp]>([
    ['a file that is not there', () => ({ PBS_PASSWORD_FILE: '/none' }), 'NOT_FOUND', /PBS_PASSWORD_FILE: \/none/],
    ['no UTF-8', () => ({ PBS_PASSWORD_FILE: file(Buffer.from([0x70, 0xff, 0x70])) }), 'BAD_STRUCTURE', /PBS_PASSWORD_FILE is not UTF-8/],
    ['a descriptor that is not open', () => ({ PBS_PASSWORD_FD: '987' }), 'USAGE', /PBS_PASSWORD_FD/],
    ['no descriptor', () => ({ PBS_PASSWORD_FD: 'x' }), 'USAGE', /PBS_PASSWORD_FD/],
    ['a command that fails, without what it said', () => ({ PBS_PASSWORD_CMD: `sh -c 'echo half-a-secret; echo half-a-secret >&2; exit 3'` }), 'LOGIN_FAILED', /^PBS_PASSWORD_CMD: sh failed \(status 3\)$/],
    ['a command without its end', () => ({ PBS_PASSWORD_CMD: `sh 'x` }), 'BAD_STRUCTURE', /quote/],
    ['an empty one', () => ({ PBS_PASSWORD: '', PBS_PASSWORD_FILE: file(password) }), 'LOGIN_FAILED', /authentication failed/],
  ])('%s', async (_name, environment, code, message) => {
    expect(await failureOf(open(environment()).call('GET', '/version'))).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });
});

describe('remembered tickets', () => {
  function runtime(mode = 0o700): string {
    const directory = scratchDirectory();
    chmodSync(directory, mode);
    return directory;
  }
  const now = (): number => Math.floor(Date.now() / 1000);

  it('are written as other clients have them, beside theirs, without old ones', async () => {
    const directory = runtime();
    mkdirSync(join(directory, 'proxmox-backup'));
    const path = join(directory, 'proxmox-backup/tickets');
    const young: Ticket = { timestamp: now() - 7000, ticket: 'PBS:a', token: 'x' };
    writeFileSync(path, JSON.stringify({ other: { 'a@pbs': young, 'b@pbs': { ...young, timestamp: now() - 7200 } }, '127.0.0.1': { 'root@pam': young } }));
    await open({ ...authorized, XDG_RUNTIME_DIR: directory }).call('GET', '/version');
    const written = JSON.parse(readFileSync(path, 'utf8')) as Record<string, Record<string, Ticket>>;
    const [ticket] = small.tickets;
    expect(written).toEqual({
      other: { 'a@pbs': young },
      '127.0.0.1': { 'root@pam': young, 'backup@pbs': { timestamp: expect.closeTo(now(), -1) as number, ticket, token: 'csrf:1' } },
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('are passwords of the next login, and give a new one', async () => {
    const environment = { XDG_RUNTIME_DIR: runtime() };
    await open({ ...authorized, ...environment }).call('GET', '/version');
    const [first] = small.tickets;
    await open(environment).call('GET', '/version');
    const logins = small.seen.filter(({ url }) => url.includes('ticket'));
    expect(logins.map(({ url, body }) => [url, (JSON.parse(body) as { password: string }).password])).toEqual([
      ['//api2/json/access/ticket', password],
      ['//api2/json/access/ticket', first],
    ]);
    expect(await new ClientState(environment).ticketOf('127.0.0.1', 'backup@pbs')).toMatchObject({ ticket: [...small.tickets][1] });

    small.tickets.clear();
    expect(await failureOf(open(environment).call('GET', '/version'))).toMatchObject({ code: 'LOGIN_FAILED', message: expect.stringContaining('pbsfs login') as string });
    expect(await open(environment, { askPassword: () => Promise.resolve(password) }).call('GET', '/version')).toBeTruthy();
  });

  it.each([0o755, 0o750, 0o500])('are not kept in a directory of mode %o, nor read there', async (mode) => {
    const directory = runtime();
    await open({ ...authorized, XDG_RUNTIME_DIR: directory }).call('GET', '/version');
    chmodSync(directory, mode);
    expect(await failureOf(open({ XDG_RUNTIME_DIR: directory }).call('GET', '/version'))).toMatchObject({ code: 'LOGIN_FAILED' });
    expect(warnings).toEqual([]);
  });

  it('are forgotten', async () => {
    const directory = runtime();
    const state = new ClientState({ XDG_RUNTIME_DIR: directory });
    expect(await state.forgetTicket('h', 'a@pbs')).toBe(false);
    await state.rememberTicket('h', 'a@pbs', { timestamp: now(), ticket: 't', token: 'c' });
    expect(await state.forgetTicket('h', 'a@pbs')).toBe(true);
    expect(readFileSync(join(directory, 'proxmox-backup/tickets'), 'utf8')).toBe('{"h":{}}');
  });

  it.each(['', 'no json', '[]', '{"127.0.0.1":3}', '{"127.0.0.1":{"backup@pbs":{"ticket":7}}}'])('of a file that holds %j are none', async (text) => {
    const directory = runtime();
    mkdirSync(join(directory, 'proxmox-backup'));
    writeFileSync(join(directory, 'proxmox-backup/tickets'), text);
    const environment = { XDG_RUNTIME_DIR: directory };
    expect(await new ClientState(environment).ticketOf('127.0.0.1', 'backup@pbs')).toBeUndefined();
    await open({ ...authorized, ...environment }).call('GET', '/version');
    expect(await new ClientState(environment).ticketOf('127.0.0.1', 'backup@pbs')).toBeDefined();
  });
});

describe('renewal of tickets', () => {
  const minutes = 60_000;
  let passwords: string[];
  let refusals: Error[];
  let authentication: TicketAuthentication;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    passwords = [];
    refusals = [];
    const logIn = (_user: string, given: string): Promise<Ticket> => {
      passwords.push(given);
      const refusal = refusals.shift();
      if (refusal !== undefined) return Promise.reject(refusal);
      return Promise.resolve({ timestamp: Math.floor(Date.now() / 1000), ticket: `ticket${passwords.length}`, token: 'c' });
    };
    const options = { environment: { PBS_PASSWORD: 'word' }, warn: () => undefined };
    authentication = new TicketAuthentication('a@pbs', 'h', options, new ClientState({}), logIn);
  });
  afterEach(() => {
    authentication.close();
    vi.useRealTimers();
  });

  it('every 15 minutes, by the ticket', async () => {
    await authentication.headers();
    for (let i = 0; i < 12; i++) await vi.advanceTimersByTimeAsync(15 * minutes);
    expect(passwords).toEqual(['word', ...Array.from({ length: 12 }, (_, i) => `ticket${i + 1}`)]);
    expect((await authentication.headers())['cookie']).toBe('PBSAuthCookie=ticket13');
  });

  it('again soon while the server is away, and by the password when the ticket is too old', async () => {
    await authentication.headers();
    refusals = Array.from({ length: 1000 }, () => Object.assign(new Error('away'), { code: 'UNREACHABLE' }));
    await vi.advanceTimersByTimeAsync(20 * minutes);
    expect(passwords).toHaveLength(1 + 6);
    await vi.advanceTimersByTimeAsync(100 * minutes);
    refusals = [];
    expect((await authentication.headers())['cookie']).toMatch(/ticket/);
    expect(passwords.at(-1)).toBe('word');
  });

  it('is left to the next request when the ticket is refused', async () => {
    await authentication.headers();
    refusals = [Object.assign(new Error('no'), { code: 'LOGIN_FAILED' })];
    await vi.advanceTimersByTimeAsync(200 * minutes);
    expect(passwords).toEqual(['word', 'ticket1']);
    await authentication.headers();
    expect(passwords).toEqual(['word', 'ticket1', 'word']);
  });
});

describe('answers', () => {
  const html = '<!DOCTYPE html><html>Welcome</html>';
  it.each<[number, string, string, RegExp, string?]>([
    [400, 'no such datastore\n\x1b[31m \u202ered', 'REFUSED', /GET \/x: no such datastore \[31m red$/],
    [400, 'x'.repeat(5000), 'REFUSED', /: x{300}\.\.\.$/],
    [400, '', 'REFUSED', /refused with status 400/],
    [403, 'permission check failed', 'NO_PERMISSION', /permission check failed/],
    [404, "Path '/x' not found.", 'NOT_FOUND', /not found/],
    [500, 'internal', 'REFUSED', /internal/],
    [502, html, 'PROTOCOL', /a proxy in between answers with status 502/],
    [404, html, 'PROTOCOL', /page of HTML/],
    [301, '', 'PROTOCOL', /status 301/],
    [200, html, 'PROTOCOL', /HTML, not JSON/],
    [200, '{"data":', 'PROTOCOL', /not JSON/],
    [200, '{}', 'PROTOCOL', /no 'data'/],
    [200, '[1]', 'PROTOCOL', /no 'data'/],
    [200, '['.repeat(100_000), 'PROTOCOL', /nested deeper/],
  ])('%s %s', async (status, text, code, message) => {
    const server = open(authorized);
    await server.logIn();
    small.answer = (_request, response) => {
      refuse(response, status, text);
    };
    const failure = await failureOf(server.call('GET', '/x'));
    expect(failure).toMatchObject({ code, message: expect.stringMatching(message) as string });
    // Not repeated.
    expect(small.seen.filter(({ url }) => url.endsWith('/x'))).toHaveLength(1);
    if (code !== 'PROTOCOL') expect(failure.status).toBe(status);
  });

  it('without a body are null', async () => {
    const server = open(authorized);
    await server.logIn();
    small.answer = (_request, response) => {
      response.end();
    };
    expect(await server.call('PUT', '/x')).toBeNull();
  });

  it('that never end are not read', async () => {
    const server = open(authorized, { timeoutMs: 20_000 });
    await server.logIn();
    small.answer = (_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(1 << 20, 0x20)));
      };
      response.on('drain', more);
      more();
    };
    expect(await failureOf(server.call('GET', '/x'))).toMatchObject({ code: 'PROTOCOL', message: expect.stringContaining('longer than') as string });
  });

  it('to uploads', async () => {
    const server = open(authorized);
    await server.upload('/admin/datastore/store1/upload-backup-log', { 'backup-id': 'a', ns: 'b' }, Buffer.from('blob'));
    expect(small.seen.at(-1)).toMatchObject({ method: 'POST', url: '/api2/json/admin/datastore/store1/upload-backup-log?backup-id=a&ns=b', body: 'blob' });
    expect(small.seen.at(-1)?.rawHeaders).toContain('application/octet-stream');
  });
});

describe('a bad network', () => {
  let proxy: TcpProxy;
  beforeEach(async () => {
    proxy = await TcpProxy.start(small.port);
  });
  afterEach(async () => {
    await proxy.close();
  });

  it('GETs are repeated until the server is there again', async () => {
    const server = open(authorized, {}, { port: proxy.port });
    await server.call('GET', '/version');
    const refused = proxy.refuse();
    proxy.cut();
    await refused;
    setTimeout(() => void proxy.accept(), 700);
    const begun = Date.now();
    expect(await server.call('GET', '/version')).toEqual({ path: '/api2/json/version' });
    expect(Date.now() - begun).toBeGreaterThan(500);
    expect(server.state()).toMatchObject({ connected: true, reconnections: 1 });
  });

  it('and given up in time, with what the system says', async () => {
    const server = open(authorized, { timeoutMs: 600 }, { port: proxy.port });
    await server.call('GET', '/version');
    const refused = proxy.refuse();
    proxy.cut();
    await refused;
    const begun = Date.now();
    expect(await failureOf(server.call('GET', '/version'))).toMatchObject({ code: 'UNREACHABLE', message: expect.stringMatching(/127\.0\.0\.1:\d+ can not be reached: connection refused/) as string });
    expect(Date.now() - begun).toBeLessThan(1500);
    expect(server.state()).toMatchObject({ connected: false, lastError: expect.stringContaining('refused') as string });
  });

  it.each<[string, (server: Server) => Promise<unknown>, boolean]>([
    ['a question', (server) => server.call('GET', '/x'), false],
    ['a change', (server) => server.call('PUT', '/x', { a: 1 }), true],
    ['a removal', (server) => server.call('DELETE', '/x'), true],
    ['an upload', (server) => server.upload('/x', {}, Buffer.from('blob')), true],
  ])('what changes something may take longer than the timeout: %s', async (_name, ask, isWaitedFor) => {
    const server = open(authorized, { timeoutMs: 400 });
    await server.logIn();
    small.answer = (_request, response) => {
      setTimeout(() => {
        give(response, 1);
      }, 1000);
    };
    if (isWaitedFor) expect(await ask(server)).toBe(1);
    else expect(await failureOf(ask(server))).toMatchObject({ code: 'UNREACHABLE' });
  });

  it('an upload lives while its parts leave, and not longer', { timeout: 30_000 }, async () => {
    const client = new HttpClient('127.0.0.1', async () => {
      const socket = connectTls({ host: '127.0.0.1', port: proxy.port, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      return socket;
    });
    try {
      const body = Buffer.alloc(24 << 20, 7);
      const request: HttpRequest = { method: 'POST', path: '/x', headers: {}, body, timeoutMs: 1500, bytesMax: 1000 };
      small.answer = (_request, response, received) => {
        give(response, received.length);
      };
      proxy.rate.up = 6000;
      expect((await client.send(request)).body.toString()).toBe(`{"data":${body.length}}`);
      const lost = failureOf(client.send(request));
      setTimeout(() => (proxy.isBlackHole = true), 500);
      expect(await lost).toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('did not answer within') as string });
    } finally {
      client.close();
    }
  });

  it('other calls are sent once', async () => {
    const server = open(authorized, {}, { port: proxy.port });
    await server.logIn();
    small.answer = (request) => {
      request.socket.destroy();
    };
    expect(await failureOf(server.call('POST', '/x', { a: 1 }))).toMatchObject({ code: 'UNREACHABLE' });
    expect(small.seen.filter(({ url }) => url.endsWith('/x'))).toHaveLength(1);
  });

  it('a kept connection that the server has closed costs nothing', async () => {
    const server = open(authorized);
    await server.call('GET', '/version');
    small.dropConnections();
    expect(await server.call('GET', '/version')).toEqual({ path: '/api2/json/version' });
    expect(server.state().reconnections).toBe(0);
  });

  it('a black hole is noticed', async () => {
    const server = open(authorized, { timeoutMs: 400 }, { port: proxy.port });
    await server.logIn();
    proxy.isBlackHole = true;
    const begun = Date.now();
    expect(await failureOf(server.call('GET', '/version'))).toMatchObject({ code: 'UNREACHABLE' });
    expect(Date.now() - begun).toBeLessThan(1500);
  });

  it.each(['call', 'session'])('aborting ends a %s at once', async (kind) => {
    const server = open(authorized, {}, { port: proxy.port });
    await server.logIn();
    proxy.isBlackHole = true;
    const controller = new AbortController();
    setTimeout(() => {
      controller.abort();
    }, 100);
    const begun = Date.now();
    const options = { signal: controller.signal };
    const waiting = kind === 'call' ? server.call('GET', '/version', {}, options) : server.openSession('reader', { store: 's' }, options);
    expect(await failureOf(waiting)).toMatchObject({ code: 'INTERRUPTED' });
    expect(Date.now() - begun).toBeLessThan(400);
    expect(await failureOf(server.call('GET', '/version', {}, options))).toMatchObject({ code: 'INTERRUPTED' });
  });

  it('closing ends what waits', async () => {
    const server = open(authorized, {}, { port: proxy.port });
    await server.logIn();
    proxy.isBlackHole = true;
    const waiting = failureOf(server.call('GET', '/version'));
    setTimeout(() => void server.close(), 100);
    expect(await waiting).toMatchObject({ code: 'CLOSED' });
  });
});

describe('upgrades that are refused', () => {
  it.each<[string, string, RegExp]>([
    ['HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nno way', 'NO_PERMISSION', /backup session: no way/],
    ['HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\n\r\ngroup\nis bu', 'REFUSED', /backup session: group is bu/],
    ['HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone', 'NOT_FOUND', /none/],
    ['HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"data":{}}', 'PROTOCOL', /status 200 is no answer/],
    ['HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n', 'PROTOCOL', /proxy/],
    ['What do you want?\r\n\r\n', 'PROTOCOL', /does not answer in HTTP/],
  ])('%j', async (bytes, code, message) => {
    const server = open(authorized);
    small.refuseUpgrade = (socket) => socket.end(bytes);
    expect(await failureOf(server.openSession('backup', { store: 'x' }))).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(small.seen.filter(({ url }) => url.includes('backup?'))).toHaveLength(1);
  });
});
