/** Connections, requests and answers as they are on the wire. Format: protocol, sections 4 and 5. */
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import tls from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { Readable } from 'node:stream';
import { endpoint, type Endpoint } from '../../src/server/endpoint.js';
import { Refusal } from '../../src/server/refusal.js';
import { Random, seed } from '../support/random.js';
import { ask, RawConnection, request } from '../support/raw-https.js';
import { serveStores, type Served } from '../support/served-stores.js';

const secret = '5d3f0c3e-8f0a-4a52-9f0e-1c8d3a6f2b11';
const token = { authorization: `PBSAPIToken user@pbs!tok:${secret}` };
const form = 'application/x-www-form-urlencoded';

const echoParameters = {
  text: { kind: 'string', optional: true },
  flag: { kind: 'boolean', optional: true },
  number: { kind: 'integer', optional: true, min: 1, max: 5 },
  list: { kind: 'strings', optional: true, countMax: 3 },
} as const;

const endpoints: readonly Endpoint[] = [
  ...(['GET', 'POST', 'PUT', 'DELETE'] as const).map((method) =>
    endpoint({ method, path: '/echo', parameters: echoParameters, run: ({ parameters: { text = null, flag = null, number = null, list = null } }) => Promise.resolve({ data: { text, flag, number, list } }) }),
  ),
  endpoint({ method: 'GET', path: '/things/{name}', parameters: { name: { kind: 'string' } }, run: ({ parameters: { name } }) => Promise.resolve({ data: name }) }),
  endpoint({ method: 'GET', path: '/things/special', parameters: {}, run: () => Promise.resolve({ data: 'the special one' }) }),
  endpoint({ method: 'POST', path: '/raw', rawBytesMax: 1 << 20, parameters: { name: { kind: 'string' } }, run: ({ body, parameters: { name } }) => Promise.resolve({ data: `${name}: ${body.length}` }) }),
  endpoint({ method: 'GET', path: '/stream', parameters: {}, run: () => Promise.resolve({ stream: Readable.from([Buffer.from('one '), Buffer.from('two')]) }) }),
  endpoint({ method: 'GET', path: '/long-stream', parameters: {}, run: () => Promise.resolve({ stream: Readable.from(Array.from({ length: 40 }, () => Buffer.alloc(65_536, 'a'))) }) }),
  endpoint({ method: 'GET', path: '/broken-stream', parameters: {}, run: () => Promise.resolve({ stream: Readable.from(failing()) }) }),
  endpoint({ method: 'GET', path: '/bytes', parameters: {}, run: () => Promise.resolve({ bytes: [Buffer.from('ab'), Buffer.from('c')] }) }),
  endpoint({ method: 'GET', path: '/list', parameters: {}, run: () => Promise.resolve({ data: [{ b: 1, a: 2 }], beside: { total: 1 }, form: 'chunked' as const }) }),
  endpoint({ method: 'GET', path: '/refused', parameters: {}, run: () => Promise.reject(new Refusal(400, 'no: it is so')) }),
  endpoint({ method: 'GET', path: '/late', parameters: {}, run: () => Promise.reject(new Refusal(403, 'not yours', { delayMs: 500 })) }),
  endpoint({ method: 'GET', path: '/bug', parameters: {}, run: () => Promise.reject(new TypeError('secret of the inside')) }),
];

async function* failing(): AsyncGenerator<Buffer> {
  yield Buffer.from('one');
  await setTimeout(1);
  throw new Error('the disk');
}

let served: Served;
let port: number;
beforeAll(async () => {
  served = await serveStores({
    users: { 'user@pbs': { password: 'secret', tokens: { tok: { secret } } } },
    offers: { endpoints, protocols: [] },
    timeouts: { firstByteMs: 700, handshakeMs: 700, headMs: 1500, keepAliveMs: 1500 },
  });
  ({ port } = served);
});

const get = (path: string, headers = {}) => ask(port, request(`GET ${path}`, { ...token, ...headers }));
const post = (body: string, type = 'application/json', path = '/api2/json/echo') => ask(port, request(`POST ${path}`, { ...token, 'content-type': type }, body));

async function data(path: string): Promise<unknown> {
  const { status, body } = await get(path);
  return status === 200 ? (JSON.parse(body) as { data: unknown }).data : `${status}: ${body}`;
}

describe('TLS', () => {
  it('chooses no application protocol, whatever is offered', async () => {
    for (const ALPNProtocols of [['h2'], ['http/1.1'], ['h2', 'http/1.1']]) {
      const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols });
      await once(socket, 'secureConnect');
      expect(socket.alpnProtocol).toBe(false);
      socket.destroy();
    }
  });

  it('speaks 1.2 and 1.3, and nothing older', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const connection = await RawConnection.open(port, { minVersion: version, maxVersion: version });
      connection.close();
    }
    await expect(RawConnection.open(port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })).rejects.toThrow(/protocol version|alert/i);
  });

  it('shows a certificate whose fingerprint is told, valid for localhost', async () => {
    const connection = await RawConnection.open(port, { rejectUnauthorized: true, ca: served.cert, servername: 'localhost' });
    const { fingerprint256, valid_to: until } = (connection.socket as tls.TLSSocket).getPeerCertificate();
    expect(fingerprint256.toLowerCase()).toBe(served.fingerprint);
    expect(Date.parse(until) - Date.now()).toBeGreaterThan(10 * 365 * 86_400_000);
    connection.close();
    await expect(RawConnection.open(port, { rejectUnauthorized: true, ca: served.cert, servername: 'elsewhere' })).rejects.toThrow(/altnames/);
  });

  it('takes no longer than it may for the first byte and the handshake', async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from([0x16, 0x03, 0x01])]) {
      const connection = await RawConnection.openPlain(port);
      if (bytes.length > 0) connection.send(bytes);
      const started = performance.now();
      await connection.untilClosed();
      expect(performance.now() - started).toBeLessThan(3000);
    }
  });
});

it('ends all connections when it ends, whatever has come of them', async () => {
  const { server, port: ownPort } = await serveStores({ offers: { endpoints, protocols: [] } });
  const waiting = await RawConnection.open(ownPort);
  waiting.send(request('GET /api2/json/ping'));
  await waiting.answer();
  const half = await RawConnection.open(ownPort);
  half.send('GET /api2/json/ping HTTP/1.1\r\nhos');
  const connections = [waiting, half, await RawConnection.open(ownPort), await RawConnection.openPlain(ownPort)];
  const started = performance.now();
  await server.drain(60_000);
  await Promise.all(connections.map((connection) => connection.untilClosed()));
  expect(performance.now() - started).toBeLessThan(3000);
});

describe('plain HTTP on the port', () => {
  const plain = async (bytes: string) => {
    const connection = await RawConnection.openPlain(port);
    connection.send(bytes);
    const answer = await connection.answer();
    await connection.untilClosed();
    return answer;
  };

  it('is sent to https, without the path', async () => {
    for (const [method, status] of [['GET', 301], ['HEAD', 301], ['POST', 308], ['DELETE', 308]] as const) {
      const answer = await plain(`${method} /a/b?c HTTP/1.1\r\nHost: pbs.example:8007\r\nX: y\r\n\r\n`);
      expect(answer).toMatchObject({ status, body: '', headers: { location: 'https://pbs.example:8007', 'content-length': '0' } });
    }
  });

  it('is refused without a host, with a strange one, or where it is no HTTP', async () => {
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\r\nhost: a b\r\n\r\n', 'GET / HTTP/1.1\r\nhost: a/../b?\r\n\r\n', 'hello\r\n\r\n', `GET /${'a'.repeat(20_000)}`]) {
      const answer = await plain(bytes);
      expect(answer.status).toBe(400);
      expect(answer.headers.location).toBeUndefined();
    }
  });

  it('is not waited for', async () => {
    const connection = await RawConnection.openPlain(port);
    connection.send('GET / HTTP/1.1\r\nHo');
    const started = performance.now();
    await connection.untilClosed();
    expect(performance.now() - started).toBeLessThan(3000);
  });
});

describe('paths', () => {
  it('may have slashes twice, and are decoded by component', async () => {
    expect(await data('//api2/json/things/a')).toBe('a');
    expect(await data('///api2//json///things//a%2Fb%20c/')).toBe('a/b c');
    expect(await data('/api2/json/things/special')).toBe('the special one');
    expect(await data('/%61pi2/json/things/%C3%BC')).toBe('\u00fc');
  });

  it('have no dots in front, and are decoded well', async () => {
    for (const path of ['/api2/json/../json/ping', '/api2/json/./ping', '/api2/json/.hidden', '/api2/json/%2e%2e/ping', '/api2/json/things/%zz', '/api2/json/things/%ff', '/api2/json/things/%00']) {
      const answer = await get(path);
      expect(answer.status, path).toBe(400);
      expect(answer.headers['content-type']).toBeUndefined();
    }
  });

  it('have a length, with the query', async () => {
    expect((await get(`/api2/json/echo?text=${'a'.repeat(3072 - 21)}`)).status).toBe(200);
    for (const length of [3073 - 21, 20_000]) {
      expect(await get(`/api2/json/echo?text=${'a'.repeat(length)}`)).toMatchObject({ status: 414, body: '' });
    }
  });

  it('that are none are 404, for those who are logged in; methods too', async () => {
    expect((await get('/api2/json/nothing')).status).toBe(404);
    expect((await get('/')).status).toBe(404);
    expect((await get('/api2/extjs/ping')).status).toBe(404);
    expect((await ask(port, request('PATCH /api2/json/echo', token))).status).toBe(404);
    expect((await ask(port, request('PUT /api2/json/version', token))).status).toBe(404);
    expect((await ask(port, request('HEAD /api2/json/version', token))).status).toBe(404);
  });

  it('that others are below list them', async () => {
    expect(await data('/api2/json/things')).toEqual([{ subdir: 'special' }]);
    expect(await data('/api2/json/nodes')).toEqual([{ subdir: 'localhost' }]);
    expect(await data('/api2/json')).toContainEqual({ subdir: 'version' });
  });
});

describe('parameters', () => {
  it('come in the query', async () => {
    const both = { text: 'a b&c', flag: true, number: 3, list: ['x', 'y'] };
    expect(await data('/api2/json/echo?text=a+b%26c&flag=YES&number=3&list=x&list=y&_dc=1234')).toEqual(both);
    for (const method of ['PUT', 'DELETE']) expect(JSON.parse((await ask(port, request(`${method} //api2/json/echo?flag=off`, { ...token, 'content-type': form }))).body)).toMatchObject({ data: { flag: false } });
  });

  it('come in a JSON body, and then not in the query', async () => {
    const { body } = await post('{"text":"\u00fc","flag":false,"number":5,"list":["x"]}', 'application/json; charset=utf-8', '/api2/json/echo?text=no&nonsense=1');
    expect(JSON.parse(body)).toEqual({ data: { text: '\u00fc', flag: false, number: 5, list: ['x'] } });
  });

  it('come in a form, and the query beside it', async () => {
    const { body } = await post('text=a%20b', form, '/api2/json/echo?number=2');
    expect(JSON.parse(body)).toMatchObject({ data: { text: 'a b', number: 2 } });
    expect(JSON.parse((await ask(port, request('PUT /api2/json/echo', { ...token, 'content-type': form }, 'flag=1'))).body)).toMatchObject({ data: { flag: true } });
    expect((await ask(port, request('POST /api2/json/echo', token))).status).toBe(200);
  });

  it('are refused with a line for what is wrong, lines for more', async () => {
    expect(await get('/api2/json/echo?text=a&text=b')).toMatchObject({ status: 400, body: "parameter check failed - 'text': given more than once", headers: { 'content-type': 'application/json;charset=UTF-8' } });
    expect((await get('/api2/json/echo?what=1')).body).toBe("parameter check failed - 'what': there is no such parameter");
    const { status, body } = await get('/api2/json/echo?flag=maybe&number=6&list=1&list=2&list=3&list=4');
    expect(status).toBe(400);
    expect(body.split('\n')).toHaveLength(4);
    for (const wrong of ['{"text":1}', '{"flag":"true"}', '{"number":"1"}', '{"number":1.5}', '{"list":"x"}', '{"list":[1]}', '{"text":null}', '[]', 'null', '{', '{"__proto__":1}']) {
      expect((await post(wrong)).status, wrong).toBe(400);
    }
    expect((await get('/api2/json/things/a?name=b')).status).toBe(400);
    expect((await post('text=a', form, '/api2/json/echo?text=b')).status).toBe(400);
  });

  it('are text that every reader of UTF-8 takes', async () => {
    for (const half of ['\\ud800', '\\udc00', '\\udc00\\ud800']) {
      expect(await post(`{"text":"a${half}b"}`), half).toMatchObject({ status: 400, body: "parameter check failed - 'text': is no well-formed text: it has half a character in it (a lone surrogate)" });
      expect((await post(`{"list":["a","${half}"]}`)).status, half).toBe(400);
    }
    expect(JSON.parse((await post('{"text":"\\ud83d\\ude00"}')).body)).toMatchObject({ data: { text: '\u{1f600}' } });
  });

  it('come in no other type', async () => {
    expect((await post('text=a', 'text/plain')).status).toBe(400);
    expect((await post('text=a', '')).status).toBe(400);
  });

  it('of raw calls are in the query only, whatever the type', async () => {
    const answer = await ask(port, request('POST /api2/json/raw?name=x', { ...token, 'content-type': 'application/json' }, '{"name":"y"}'));
    expect(JSON.parse(answer.body)).toEqual({ data: 'x: 12' });
  });
});

describe('bodies', () => {
  it('of 512 KiB are taken, larger ones refused before they are read', async () => {
    const body = (length: number) => `{"text":"${'a'.repeat(length - 11)}"}`;
    expect((await post(body(512 * 1024))).status).toBe(200);
    const connection = await RawConnection.open(port);
    connection.send(request('POST /api2/json/echo', { ...token, 'content-type': 'application/json', 'content-length': String(512 * 1024 + 1) }));
    expect(await connection.answer()).toMatchObject({ status: 400, headers: { connection: 'close' } });
    await connection.untilClosed();
  });

  it('without a length are counted', async () => {
    const connection = await RawConnection.open(port);
    connection.send(request('POST /api2/json/echo', { ...token, 'content-type': 'application/json', 'transfer-encoding': 'chunked' }));
    const chunk = `10000\r\n${'a'.repeat(65_536)}\r\n`;
    for (let i = 0; i < 9; i++) connection.send(chunk);
    expect((await connection.answer()).status).toBe(400);
    await connection.untilClosed();
  });

  it('that do not match their length break nothing', async () => {
    const connection = await RawConnection.open(port);
    connection.send(request('POST /api2/json/echo', { ...token, 'content-type': 'application/json', 'content-length': '10' }) + '{"te');
    await setTimeout(50);
    connection.close();
    expect((await get('/api2/json/ping')).status).toBe(200);
    expect((await ask(port, request('POST /api2/json/echo', { ...token, 'content-length': '5', 'transfer-encoding': 'chunked' }))).status).toBe(400);
  });
});

describe('answers', () => {
  it('have a type, a length and a date, and nothing else', async () => {
    const answer = await get('/api2/json/version');
    expect(answer.head.split('\r\n').map((line) => line.split(':')[0])).toEqual(['HTTP/1.1 200 OK', 'content-type', 'content-length', 'date']);
    expect(answer).toMatchObject({ headers: { 'content-type': 'application/json;charset=UTF-8' }, body: '{"data":{"release":"1","repoid":"pbsfs","version":"4.1"}}' });
  });

  it('of long lists are chunked, in their own order', async () => {
    const answer = await get('/api2/json/list');
    expect(answer.headers).toMatchObject({ 'transfer-encoding': 'chunked', 'content-type': 'application/json;charset=UTF-8' });
    expect(answer.body).toBe('{"total":1,"data":[{"b":1,"a":2}]}');
  });

  it('of bytes are octets', async () => {
    expect(await get('/api2/json/bytes')).toMatchObject({ body: 'abc', headers: { 'content-type': 'application/octet-stream', 'content-length': '3' } });
    expect(await get('/api2/json/stream')).toMatchObject({ body: 'one two', headers: { 'content-type': 'application/octet-stream', 'transfer-encoding': 'chunked' } });
    await expect(get('/api2/json/broken-stream')).rejects.toThrow(/closed after/);
  });

  it('that are long leave no listeners behind', async () => {
    const warnings: string[] = [];
    const warn = ({ name }: Error): void => void warnings.push(name);
    process.on('warning', warn);
    expect((await get('/api2/json/long-stream')).body).toHaveLength(40 * 65_536);
    process.off('warning', warn);
    expect(warnings).toEqual([]);
  });

  it('that refuse are plain texts', async () => {
    expect(await get('/api2/json/refused')).toMatchObject({ status: 400, body: 'no: it is so', headers: { 'content-type': 'application/json;charset=UTF-8' } });
    const started = performance.now();
    expect((await get('/api2/json/late')).status).toBe(403);
    expect(performance.now() - started).toBeGreaterThanOrEqual(500);
  });

  it('tell nothing of the inside; the log does', async () => {
    const answer = await get('/api2/json/bug');
    expect(answer.status).toBe(400);
    expect(answer.body).not.toContain('secret of the inside');
    expect(served.lines.join('\n')).toContain('secret of the inside');
  });

  it('come on a connection that is kept, in order', async () => {
    const connection = await RawConnection.open(port);
    connection.send(request('GET /api2/json/late', token) + request('GET /api2/json/things/1', token) + request('GET /api2/json/nothing', token));
    expect([(await connection.answer()).status, (await connection.answer()).body, (await connection.answer()).status]).toEqual([403, '{"data":"1"}', 404]);
    connection.send(request('POST /api2/json/echo', { ...token, 'content-type': 'application/json' }, '{"number":9}'));
    expect((await connection.answer()).status).toBe(400);
    connection.send(request('GET /api2/json/ping'));
    expect((await connection.answer()).body).toBe('{"data":{"pong":true}}');
    connection.close();
  });

  it('need no host', async () => {
    expect((await ask(port, 'GET /api2/json/ping HTTP/1.1\r\n\r\n')).status).toBe(200);
    expect((await ask(port, 'GET /api2/json/ping HTTP/1.0\r\n\r\n')).status).toBe(200);
  });
});

describe('what is no request, or too slow', () => {
  it('is refused', async () => {
    for (const bytes of ['hello\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'GET /\u0001 HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\r\nbad header\r\n\r\n', 'GET http HTTP/1.1\r\nhost: a\r\n\r\n']) {
      const connection = await RawConnection.open(port);
      connection.send(bytes);
      expect([400, 404], JSON.stringify(bytes)).toContain((await connection.answer()).status);
      connection.close();
    }
  });

  it('has a head of limited size', async () => {
    expect((await get('/api2/json/ping', { x: 'a'.repeat(60_000) })).status).toBe(431);
    expect((await get('/api2/json/ping', { x: 'a'.repeat(10_000) })).status).toBe(200);
  });

  it('is not waited for: no request, half a head, half a body of nothing', async () => {
    for (const bytes of ['', 'GET /api2/json/ping HTTP/1.1\r\nho']) {
      const connection = await RawConnection.open(port);
      if (bytes !== '') connection.send(bytes);
      const started = performance.now();
      await connection.untilClosed();
      expect(performance.now() - started).toBeLessThan(6000);
    }
  });

  it('one byte at a time does not hold a connection', async () => {
    const connection = await RawConnection.open(port);
    const started = performance.now();
    for (const byte of 'GET /api2/json/ping HTTP/1.1\r\nx: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n') {
      if (connection.closed) break;
      connection.send(byte);
      await setTimeout(100);
    }
    await connection.untilClosed();
    expect(performance.now() - started).toBeLessThan(6000);
  });

  it('many requests without waiting for an answer end the connection', async () => {
    const connection = await RawConnection.open(port);
    connection.send(request('GET /api2/json/late', token).repeat(40));
    await connection.untilClosed();
    expect((await get('/api2/json/ping')).status).toBe(200);
  });
});

describe('a server', () => {
  it(`survives whatever comes (seed ${seed})`, async () => {
    const numbers = new Random(seed);
    const random = (limit: number): number => numbers.below(limit);
    const samples = [
      request('GET //api2/json/echo?text=a&list=b', token),
      request('POST /api2/json/echo', { ...token, 'content-type': 'application/json' }, '{"text":"a","list":["b"]}'),
      request('GET /api2/json/backup?store=a', { ...token, connection: 'upgrade', upgrade: 'proxmox-backup-protocol-v1' }),
      request('POST /api2/json/raw?name=a', { ...token, 'transfer-encoding': 'chunked' }) + '3\r\nabc\r\n0\r\n\r\n',
    ];
    for (let i = 0; i < 150; i++) {
      const bytes = Buffer.from(samples[i % samples.length] ?? '', 'latin1');
      for (let changes = 1 + random(4); changes > 0; changes--) bytes[random(bytes.length)] = random(256);
      const connection = i % 10 === 0 ? await RawConnection.openPlain(port) : await RawConnection.open(port);
      connection.send(bytes.subarray(0, random(4) === 0 ? random(bytes.length) : bytes.length));
      await Promise.race([connection.answer().catch(() => undefined), setTimeout(15)]);
      connection.close();
    }
    expect((await get('/api2/json/ping')).status).toBe(200);
    // Of the inside and of the disk speak errors that tests above made.
    expect(served.lines.filter((line) => !/server\.pem|secret of the inside|the disk/.test(line))).toEqual([]);
  });
});
