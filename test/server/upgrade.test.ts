/** Connections that become HTTP/2 sessions, and servers that end. Format: protocol, sections 9.1 to 9.7. */
import { once } from 'node:events';
import http2, { type ClientHttp2Session } from 'node:http2';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { endpoint } from '../../src/server/endpoint.js';
import { Refusal } from '../../src/server/refusal.js';
import { protocol } from '../../src/server/upgrade.js';
import { ask, RawConnection, request } from '../support/raw-https.js';
import { serveStores, type Served } from '../support/served-stores.js';

const secret = '5d3f0c3e-8f0a-4a52-9f0e-1c8d3a6f2b11';
const token = { authorization: `PBSAPIToken user@pbs!tok:${secret}` };
const id = 'test-protocol-v1';
const upgrade = { ...token, connection: 'upgrade', upgrade: id };

interface Told {
  readonly served: Served;
  /** What happened to sessions, in order. */
  readonly events: string[];
}

async function serveProtocol(beginMs = 0): Promise<Told> {
  const events: string[] = [];
  const test = protocol({
    name: 'backup',
    id,
    path: '/backup',
    parameters: { store: { kind: 'string' }, forbidden: { kind: 'boolean', optional: true }, late: { kind: 'boolean', optional: true } },
    admit: ({ parameters: { forbidden } }) => (forbidden === true ? Promise.reject(new Refusal(403, 'not here')) : Promise.resolve()),
    async begin({ parameters: { late } }) {
      if (late === true) throw new Refusal(400, 'too late');
      await setTimeout(beginMs);
      events.push('begun');
      return {
        async serve(session) {
          session.on('stream', (stream) => {
            stream.on('error', () => undefined);
            stream.respond({ ':status': 200 });
            stream.end('hello');
          });
          session.on('error', () => undefined);
          if (!session.destroyed) await once(session, 'close');
          events.push('over');
        },
        abandon: () => Promise.resolve(void events.push('abandoned')),
      };
    },
  });
  const slow = endpoint({ method: 'GET', path: '/slow', parameters: {}, run: async () => setTimeout(400, { data: 'done' }) });
  const served = await serveStores({ users: { 'user@pbs': { tokens: { tok: { secret } } } }, offers: { endpoints: [slow], protocols: [test] } });
  return { served, events };
}

async function openSession(port: number, early: Buffer = Buffer.alloc(0)): Promise<ClientHttp2Session> {
  const connection = await RawConnection.open(port);
  connection.send(Buffer.concat([Buffer.from(request('GET //api2/json/backup?store=a', upgrade)), early]));
  const answer = await connection.answer();
  expect(answer.status).toBe(101);
  expect(answer.headers).toMatchObject({ connection: 'upgrade', upgrade: id });
  const { socket, rest } = connection;
  socket.removeAllListeners('data').pause();
  if (rest.length > 0) socket.unshift(rest);
  const session = http2.connect('https://localhost:8007', { createConnection: () => socket });
  session.on('error', () => undefined);
  return session;
}

async function bodyOf(session: ClientHttp2Session, path = '/x'): Promise<string> {
  const stream = session.request({ ':path': path });
  let text = '';
  for await (const piece of stream) text += String(piece);
  return text;
}

async function eventually(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) await setTimeout(20);
  expect(condition()).toBe(true);
}

describe('an upgrade', () => {
  it('is followed by HTTP/2 on the same connection, also after other requests', async () => {
    const { served, events } = await serveProtocol(30);
    const session = await openSession(served.port);
    expect(await bodyOf(session)).toBe('hello');
    session.destroy();
    await eventually(() => events.join() === 'begun,over' && served.server.sessionCount() === 0);
  });

  it('takes the preface that came with the request', async () => {
    const { served, events } = await serveProtocol(30);
    const connection = await RawConnection.open(served.port);
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');
    connection.send(Buffer.concat([Buffer.from(request('GET /api2/json/backup?store=a', upgrade)), preface]));
    expect((await connection.answer()).status).toBe(101);
    // SETTINGS of the server, and the acknowledgement of the client's.
    await eventually(() => connection.rest.includes(Buffer.from([0, 0, 0, 4, 1, 0, 0, 0, 0])));
    connection.close();
    await eventually(() => events.join() === 'begun,over');
  });

  it('is refused in the order of its checks', async () => {
    const { served, events } = await serveProtocol();
    const status = async (query: string, headers: Readonly<Record<string, string>>) => (await ask(served.port, request(`GET /api2/json/backup${query}`, headers))).status;
    const anonymous = { connection: 'upgrade', upgrade: id };
    expect(await status('', anonymous)).toBe(401);
    expect(await status('', upgrade)).toBe(400);
    expect(await status('?store=a&nonsense=1', { ...upgrade, upgrade: 'h2c' })).toBe(400);
    expect(await status('?store=a&forbidden=1', { ...upgrade, upgrade: 'h2c' })).toBe(403);
    expect(await status('?store=a&forbidden=1', token)).toBe(403);
    for (const wrong of ['h2c', id.toUpperCase(), `${id}, h2c`]) {
      expect((await ask(served.port, request('GET /api2/json/backup?store=a&late=1', { ...upgrade, upgrade: wrong }))).body).toContain("'upgrade' asks for another protocol");
    }
    expect((await ask(served.port, request('GET /api2/json/backup?store=a&late=1', token))).body).toContain('is missing');
    expect((await ask(served.port, request('GET /api2/json/backup?store=a&late=1', upgrade))).body).toBe('too late');
    expect(await ask(served.port, request('POST /api2/json/backup?store=a', upgrade))).toMatchObject({ status: 404 });
    expect(await ask(served.port, request('GET /api2/json/version', upgrade))).toMatchObject({ status: 200 });
    expect(events).toEqual([]);
  });

  it('before the answer to another request ends the connection, and nothing else', async () => {
    const { served, events } = await serveProtocol();
    const connection = await RawConnection.open(served.port);
    connection.send(request('GET /api2/json/slow', token) + request('GET /api2/json/backup?store=a', upgrade));
    await connection.untilClosed();
    expect((await ask(served.port, request('GET /api2/json/ping'))).status).toBe(200);
    expect(events).toEqual([]);
  });

  it('that nobody waits for any more gives back what it took', async () => {
    const { served, events } = await serveProtocol(200);
    const connection = await RawConnection.open(served.port);
    connection.send(request('GET /api2/json/backup?store=a', upgrade));
    await setTimeout(50);
    connection.close();
    await eventually(() => ['begun,abandoned', 'begun,over'].includes(events.join()) && served.server.sessionCount() === 0);
  });

  it.each([
    [401, 'GET /api2/json/version', { connection: 'upgrade', upgrade: id }],
    [200, 'GET /api2/json/version', upgrade],
    [404, 'GET /api2/json/nothing', upgrade],
    [400, 'GET /api2/json/backup?store=a&late=1', upgrade],
  ])('that is answered with %d ends its connection, whatever the client sends behind it', async (status, line, headers) => {
    const { served } = await serveProtocol();
    const areClosed = (): boolean => /^pbsfs_server_connections 0$/m.test(served.server.context.metrics.text());
    const [closing, staying] = [await RawConnection.open(served.port), await RawConnection.open(served.port, { allowHalfOpen: true })];
    for (const connection of [closing, staying]) {
      connection.send(`${request(line, headers)}more`);
      expect((await connection.answer()).status).toBe(status);
      connection.send('and more');
    }
    await eventually(areClosed);
  });

  it('is one of a limited number', async () => {
    const { served } = await serveProtocol();
    const sessions = await Promise.all(Array.from({ length: 64 }, () => openSession(served.port)));
    expect(await ask(served.port, request('GET /api2/json/backup?store=a', upgrade))).toMatchObject({ status: 503 });
    sessions.pop()?.destroy();
    await eventually(() => served.server.sessionCount() === 63);
    sessions.push(await openSession(served.port));
    for (const session of sessions) session.destroy();
    await eventually(() => served.server.sessionCount() === 0);
  });
});

describe('a server that ends', () => {
  it('lets sessions and requests come to their end, and takes no new ones', async () => {
    const { served, events } = await serveProtocol();
    const session = await openSession(served.port);
    const kept = await RawConnection.open(served.port);
    kept.send(request('GET /api2/json/ping'));
    await kept.answer();
    const busy = await RawConnection.open(served.port);
    busy.send(request('GET /api2/json/slow', token));
    await setTimeout(50);
    let isOver = false;
    const drained = served.server.drain(20_000).then(() => (isOver = true));
    await kept.untilClosed();
    await expect(RawConnection.open(served.port)).rejects.toThrow(/ECONNREFUSED/);
    expect((await busy.answer()).body).toBe('{"data":"done"}');
    expect((await bodyOf(session))).toBe('hello');
    await setTimeout(100);
    expect(isOver).toBe(false);
    session.destroy();
    busy.close();
    await drained;
    expect(events.at(-1)).toBe('over');
  });

  it('breaks off what does not end in time', async () => {
    const { served, events } = await serveProtocol();
    const session = await openSession(served.port);
    const started = performance.now();
    await served.server.drain(300);
    expect(performance.now() - started).toBeLessThan(3000);
    expect(events).toEqual(['begun', 'over']);
    expect(served.lines.join()).toContain('broken off');
    session.destroy();
  });
});
