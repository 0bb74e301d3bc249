/** Sessions of HTTP/2 on upgraded connections. */
import { randomBytes } from 'node:crypto';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseRepository } from '../../../src/format/repository.js';
import { openServer, type Server } from '../../../src/store/remote/server.js';
import type { ProtocolSession, SessionRequest } from '../../../src/store/remote/server-api.js';
import { selfSignedCertificate, type Certificate } from '../../support/certificate.js';
import { httpAnswer, scriptedServer } from '../../support/scripted-server.js';
import { SmallServer } from '../../support/small-server.js';
import { TcpProxy } from '../../support/tcp-proxy.js';

const timeoutMs = 600;

let certificate: Certificate;
let small: SmallServer;
let proxy: TcpProxy;
let server: Server;
let session: ProtocolSession;

beforeAll(() => {
  certificate = selfSignedCertificate();
});
beforeEach(async () => {
  small = await SmallServer.start(certificate);
  proxy = await TcpProxy.start(small.port);
  server = open(proxy.port);
  session = await server.openSession('reader', { store: 'store1' });
});
afterEach(async () => {
  await server.close();
  await proxy.close();
  await small.close();
});

function open(port: number, ms = timeoutMs): Server {
  return openServer(parseRepository(`backup@pbs@127.0.0.1:${port}:store1`), {
    environment: { PBS_PASSWORD: 'secret' },
    fingerprint: certificate.fingerprint,
    warn: () => undefined,
    timeoutMs: ms,
  });
}

const get = (path: string, bytesMax = 1 << 20, rest: Partial<SessionRequest> = {}): SessionRequest => ({ method: 'GET', path, bytesMax, ...rest });
const failureOf = (promise: Promise<unknown>): Promise<{ code: string; message: string; status?: number }> =>
  promise.then(
    () => Promise.reject(new Error('it succeeded')),
    (error: unknown) => error as { code: string; message: string },
  );
const delay = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

describe('answers', () => {
  it('have memory of their own, with and without a length that is told', async () => {
    const bodies = [0, 1, 16_384, 70_000, 9_000_000].map((length) => randomBytes(length));
    small.stream = (stream, headers) => {
      const [, at = '0', told] = /(\d)(told)?$/.exec(headers[':path'] ?? '') ?? [];
      const body = bodies[Number(at)] ?? Buffer.alloc(0);
      stream.respond({ ':status': 200, ...(told !== undefined && { 'content-length': body.length }) });
      stream.end(body);
    };
    const all = await Promise.all(bodies.flatMap((_, at) => [session.request(get(`/${at}`, 9_000_000)), session.request(get(`/${at}told`, 9_000_000))]));
    for (const [at, body] of all.entries()) {
      expect(body.buffer.byteLength).toBe(body.length);
      expect(Buffer.from(body.buffer).equals(bodies[at >> 1] ?? Buffer.alloc(0))).toBe(true);
    }
    expect(session.roundTripMs).toBeGreaterThan(0);
    expect(server.state().roundTripMs).toBe(session.roundTripMs);
  });

  it.each([true, false])('that are too long are not taken: length told %s', async (isTold) => {
    let written = 0;
    small.stream = (stream) => {
      stream.respond({ ':status': 200, ...(isTold && { 'content-length': 2 ** 40 }) });
      const more = (): void => {
        while (!stream.destroyed && stream.write(Buffer.alloc(1 << 16))) written += 1 << 16;
      };
      stream.on('drain', more);
      more();
    };
    expect(await failureOf(session.request(get('/x', 100_000)))).toMatchObject({ code: 'PROTOCOL', message: expect.stringContaining('longer than the 100000 bytes') as string });
    // The session lives, and the rest is not sent.
    small.stream = (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('{"data":7}');
    };
    expect(await session.call(get('/y'))).toBe(7);
    const soFar = written;
    await delay(100);
    expect(written).toBe(soFar);
  });

  it('that are longer than they say break the rules', async () => {
    small.stream = (stream) => {
      stream.respond({ ':status': 200, 'content-length': 10 });
      stream.end('more than ten');
    };
    expect(await failureOf(session.request(get('/x')))).toMatchObject({ code: 'PROTOCOL' });
  });

  it.each<[string, boolean, (stream: ServerHttp2Stream) => void]>([
    ['of a connection that is reset', true, () => { proxy.cut(); }],
    ['of a connection that is reset', false, () => { proxy.cut(); }],
    ['of a server that goes away', true, () => { small.dropConnections(); }],
    ['of a server that goes away', false, () => { small.dropConnections(); }],
    ['of a request that is reset', true, (stream) => { stream.destroy(new Error('broken')); }],
    ['of a request that is reset', false, (stream) => { stream.destroy(new Error('broken')); }],
  ])('that break off are lost, not wrong: %s, length told %s', async (_name, isTold, breakOff) => {
    small.stream = (stream) => {
      stream.respond({ ':status': 200, ...(isTold && { 'content-length': 70_000 }) });
      stream.write(Buffer.alloc(30_000), () => void delay(50).then(() => { breakOff(stream); }));
    };
    expect(await failureOf(session.request(get('/chunk')))).toMatchObject({ code: 'UNREACHABLE' });
  });

  it.each<[number, string, string, RegExp]>([
    [400, 'no\nchunk', 'REFUSED', /reader session: GET \/chunk: no chunk$/],
    [401, 'permission check failed', 'REFUSED', /permission check failed/],
    [403, 'no', 'NO_PERMISSION', /no/],
    [404, 'blob not found', 'NOT_FOUND', /blob not found/],
    [400, 'y'.repeat(100_000), 'REFUSED', /y{300}\.\.\.$/],
  ])('%s %s', async (status, text, code, message) => {
    small.stream = (stream) => {
      stream.respond({ ':status': status });
      stream.end(text);
    };
    expect(await failureOf(session.request(get('/chunk', 10)))).toMatchObject({ status, code, message: expect.stringMatching(message) as string });
    expect(session.isOpen).toBe(true);
  });

  it.each([
    ['{"data":[1,{"a":"b"}]}', [1, { a: 'b' }]],
    ['', null],
    ['{"data":null}', null],
  ])('in JSON: %s', async (text, value) => {
    small.stream = (stream) => {
      stream.respond({ ':status': 200 });
      stream.end(text);
    };
    expect(await session.call({ method: 'POST', path: '/x', bytesMax: 1000 })).toEqual(value);
  });

  it.each(['{"x":1}', '3', 'text', '<html>'])('that are no such JSON: %s', async (text) => {
    small.stream = (stream) => {
      stream.respond({ ':status': 200 });
      stream.end(text);
    };
    expect(await failureOf(session.call(get('/x')))).toMatchObject({ code: 'PROTOCOL' });
  });
});

describe('requests', () => {
  it('have the headers of other clients, and no length', async () => {
    const seen: object[] = [];
    small.stream = (stream, headers, body) => {
      seen.push([Object.fromEntries(Object.entries(headers)), body.toString()]);
      stream.respond({ ':status': 200 });
      stream.end('{"data":null}');
    };
    await session.call({ method: 'POST', path: '/dynamic_chunk', parameters: { wid: 1, digest: 'ab', size: 5, 'encoded-size': 3 }, send: { kind: 'bytes', parts: [Buffer.from('a'), new Uint8Array([98, 99])] }, bytesMax: 100 });
    await session.call({ method: 'PUT', path: '/dynamic_index', parameters: { wid: 1, 'digest-list': ['ab'], 'offset-list': [0] }, send: { kind: 'json' }, bytesMax: 100 });
    await session.call({ method: 'GET', path: '/download', parameters: { 'file-name': 'a b' }, bytesMax: 100 });
    const base = { ':scheme': 'https', ':authority': 'localhost:8007', 'user-agent': 'proxmox-backup-client/1.0' };
    const type = (text: string): object => ({ ...base, 'content-type': text });
    expect(seen).toEqual([
      [{ ...type('application/octet-stream'), ':method': 'POST', ':path': '/dynamic_chunk?digest=ab&encoded-size=3&size=5&wid=1' }, 'abc'],
      [{ ...type('application/json'), ':method': 'PUT', ':path': '/dynamic_index' }, '{"digest-list":["ab"],"offset-list":[0],"wid":1}'],
      [{ ...type('application/x-www-form-urlencoded'), ':method': 'GET', ':path': '/download?file-name=a+b' }, ''],
    ]);
  });

  it('take memory that threads share', async () => {
    small.stream = (stream, _headers, body) => {
      stream.respond({ ':status': 200 });
      stream.end(body);
    };
    const shared = new Uint8Array(new SharedArrayBuffer(300_000)).fill(7);
    const echo = await session.request({ method: 'POST', path: '/x', send: { kind: 'bytes', parts: [shared] }, bytesMax: 300_000 });
    expect(Buffer.from(echo).equals(Buffer.alloc(300_000, 7))).toBe(true);
  });

  it('wait for streams that the server allows', async () => {
    small.settings = { ...small.settings, maxConcurrentStreams: 5 };
    const few = await server.openSession('reader', { store: 'store1' });
    let open = 0;
    let most = 0;
    small.stream = (stream) => {
      most = Math.max(most, ++open);
      setTimeout(() => {
        open--;
        stream.respond({ ':status': 200 });
        stream.end('x');
      }, 5);
    };
    await few.request(get('/first'));
    await Promise.all(Array.from({ length: 60 }, () => few.request(get('/x'))));
    expect(most).toBe(5);
  });

  it('wait for the window of the server', async () => {
    small.settings = { ...small.settings, initialWindowSize: 65_535 };
    const narrow = await server.openSession('backup', { store: 'store1' });
    small.stream = (stream, _headers, body) => {
      stream.respond({ ':status': 200 });
      stream.end(JSON.stringify({ data: body.length }));
    };
    const part = new Uint8Array(1_000_000);
    const upload = { method: 'POST', path: '/x', send: { kind: 'bytes', parts: [part, part] }, bytesMax: 100 } as const;
    expect(await Promise.all(Array.from({ length: 8 }, () => narrow.call(upload)))).toEqual(Array(8).fill(2_000_000));
  });

  it('that are aborted end at once, running and waiting, and alone', async () => {
    small.settings = { ...small.settings, maxConcurrentStreams: 1 };
    const one = await server.openSession('reader', { store: 'store1' });
    small.stream = (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('x');
    };
    await one.request(get('/first'));
    const cancelled: number[] = [];
    small.stream = (stream) => stream.on('close', () => cancelled.push(stream.rstCode));
    const controllers = [new AbortController(), new AbortController()];
    const [running, waiting] = controllers.map(({ signal }) => failureOf(one.request(get('/x', 10, { signal }))));
    await delay(50);
    controllers[1]?.abort();
    expect(await waiting).toMatchObject({ code: 'INTERRUPTED' });
    controllers[0]?.abort();
    expect(await running).toMatchObject({ code: 'INTERRUPTED' });
    small.stream = (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('x');
    };
    expect(await one.request(get('/y'))).toHaveLength(1);
    expect(cancelled).toEqual([constants.NGHTTP2_CANCEL]);
  });

  it('that are refused before they were sent whole end with the refusal', async () => {
    small.early = (stream) => {
      stream.respond({ ':status': 400 });
      stream.end('chunk has the wrong size');
      return true;
    };
    const parts = Array.from({ length: 60 }, () => new Uint8Array(1 << 20));
    expect(await failureOf(session.call({ method: 'POST', path: '/x', send: { kind: 'bytes', parts }, bytesMax: 100 }))).toMatchObject({ code: 'REFUSED', message: expect.stringContaining('wrong size') as string });
    expect(session.isOpen).toBe(true);
  });
});

describe('a session', () => {
  const silent = (): void => {
    small.stream = () => undefined;
  };

  it('that is closed tells who waits, and has no reason', async () => {
    silent();
    const waiting = failureOf(session.request(get('/x')));
    await delay(20);
    session.close();
    expect(await waiting).toMatchObject({ code: 'CLOSED' });
    expect(await session.ended).toBeUndefined();
    expect(session.isOpen).toBe(false);
    expect(await failureOf(session.request(get('/x')))).toMatchObject({ code: 'CLOSED' });
    expect(server.state()).toMatchObject({ sessions: 0, connected: true });
  });

  it.each<[string, () => unknown, RegExp]>([
    ['reset', () => proxy.cut(), /reset|closed/],
    ['closed by the server', () => small.dropConnections(), /closed|reset/],
    ['ended by GOAWAY with an error', () => small.sessions[0]?.goaway(constants.NGHTTP2_INTERNAL_ERROR), /ended the session \(code 2\)/],
    [
      'broken by a byte that was changed on the way',
      () => {
        proxy.flipAfter(20, 'down');
        small.sessions[0]?.ping(() => undefined);
      },
      /reader session/,
    ],
  ])('that is %s', async (_name, harm, message) => {
    silent();
    const waiting = Promise.all([failureOf(session.request(get('/x'))), failureOf(session.call({ method: 'POST', path: '/y', bytesMax: 10 }))]);
    await delay(50);
    await harm();
    const error = { code: 'UNREACHABLE', message: expect.stringMatching(message) as string };
    expect(await waiting).toMatchObject([error, error]);
    expect(await session.ended).toMatchObject(error);
    expect(await failureOf(session.request(get('/x')))).toMatchObject({ code: 'UNREACHABLE' });
    expect(server.state()).toMatchObject({ connected: false, sessions: 0 });
    // And the next one works.
    small.stream = (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('x');
    };
    expect(await (await server.openSession('reader', { store: 's' })).request(get('/x'))).toHaveLength(1);
  });

  it('that gets a GOAWAY without an error answers what runs, and takes nothing more', async () => {
    small.stream = (stream) => {
      small.sessions[0]?.goaway(constants.NGHTTP2_NO_ERROR);
      setTimeout(() => {
        stream.respond({ ':status': 200 });
        stream.end('last');
      }, 100);
    };
    const last = session.request(get('/x'));
    await delay(50);
    expect(session.isOpen).toBe(false);
    expect(await failureOf(session.request(get('/y')))).toMatchObject({ code: 'UNREACHABLE' });
    expect(Buffer.from(await last).toString()).toBe('last');
    expect(await session.ended).toMatchObject({ code: 'UNREACHABLE' });
  });

  it('whose one request is reset lives', async () => {
    small.stream = (stream, headers) => {
      if (headers[':path'] === '/x') return stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      stream.respond({ ':status': 200 });
      stream.end('x');
    };
    expect(await failureOf(session.request(get('/x')))).toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('with code 2') as string });
    expect(await session.request(get('/y'))).toHaveLength(1);
  });

  it('in a black hole is given up', async () => {
    silent();
    const begun = Date.now();
    const waiting = Promise.all([failureOf(session.request(get('/x'))), failureOf(session.call({ method: 'POST', path: '/y', bytesMax: 10 }))]);
    proxy.isBlackHole = true;
    expect(await waiting).toMatchObject([{ code: 'UNREACHABLE' }, { code: 'UNREACHABLE' }]);
    expect(Date.now() - begun).toBeGreaterThan(timeoutMs - 100);
    expect(Date.now() - begun).toBeLessThan(timeoutMs + 500);
    expect(await session.ended).toMatchObject({ message: expect.stringContaining('nothing came for') as string });
  });

  it('in a black hole is given up, though who waited has given up before', async () => {
    const controller = new AbortController();
    proxy.isBlackHole = true;
    const lost = failureOf(session.request(get('/x', 10, { signal: controller.signal })));
    await delay(timeoutMs * 0.7);
    controller.abort();
    await lost;
    expect(session.isOpen).toBe(true);
    await delay(timeoutMs);
    expect(session.isOpen).toBe(false);
    expect(server.state()).toMatchObject({ connected: false, lastError: expect.stringContaining('nothing came') as string });
  });

  it('in a black hole with a writer only', async () => {
    silent();
    const waiting = failureOf(session.call({ method: 'POST', path: '/y', bytesMax: 10 }));
    await delay(50);
    proxy.isBlackHole = true;
    const begun = Date.now();
    expect(await waiting).toMatchObject({ code: 'UNREACHABLE' });
    expect(Date.now() - begun).toBeLessThan(timeoutMs + 800);
  });

  it('lives while a slow link takes away what a large window lets in, and is given up when that stops', { timeout: 30_000 }, async () => {
    const parts = Array.from({ length: 10 }, () => new Uint8Array(4 << 20));
    small.settings = { ...small.settings, initialWindowSize: 64 << 20 };
    small.connectionWindow = 64 << 20;
    const patient = open(proxy.port, 1500);
    try {
      const wide = await patient.openSession('backup', { store: 'store1' });
      small.stream = (stream, _headers, body) => {
        if (stream.destroyed) return;
        stream.respond({ ':status': 200 });
        stream.end(JSON.stringify({ data: body.length }));
      };
      const upload = { method: 'POST', path: '/x', send: { kind: 'bytes', parts }, bytesMax: 100 } as const;
      proxy.rate.up = 10_000;
      const begun = Date.now();
      expect(await wide.call(upload)).toBe(40 << 20);
      expect(Date.now() - begun).toBeGreaterThan(3000);
      const lost = failureOf(wide.call(upload));
      await delay(500);
      proxy.isBlackHole = true;
      const holeBegun = Date.now();
      expect(await lost).toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('nothing came for') as string });
      expect(Date.now() - holeBegun).toBeLessThan(1500 + 1000);
    } finally {
      await patient.close();
    }
  });

  it('may wait for long without having something to wait for', async () => {
    await delay(timeoutMs * 2);
    small.stream = (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('x');
    };
    expect(await session.request(get('/x'))).toHaveLength(1);
  });

  it('waits for a server that takes its time to close something, and lives', async () => {
    small.stream = (stream) => {
      setTimeout(() => {
        stream.respond({ ':status': 200 });
        stream.end('{"data":1}');
      }, timeoutMs * 3);
    };
    expect(await session.call({ method: 'POST', path: '/finish', bytesMax: 100 })).toBe(1);
  });

  it('does not wait for a server that does not give what is read', async () => {
    silent();
    const begun = Date.now();
    expect(await failureOf(session.request(get('/x')))).toMatchObject({ code: 'UNREACHABLE' });
    expect(Date.now() - begun).toBeLessThan(timeoutMs + 500);
  });

  it('is patient with slow answers', async () => {
    small.stream = (stream) => {
      stream.respond({ ':status': 200 });
      let left = 6;
      const timer = setInterval(() => {
        stream.write('x');
        if (--left === 0) {
          clearInterval(timer);
          stream.end();
        }
      }, timeoutMs / 3);
    };
    expect(await session.request(get('/x'))).toHaveLength(6);
  });
});

describe('settings of the server', () => {
  it.each(['in the same record as the head of the answer', 'long after it'])('may come %s', async (when) => {
    // MAX_CONCURRENT_STREAMS 200, INITIAL_WINDOW_SIZE 32 MiB, MAX_FRAME_SIZE 4 MiB, MAX_HEADER_LIST_SIZE 16384.
    const frame = Buffer.from(`000018040000000000${'0003000000c8'}${'000402000000'}${'000500400000'}${'000600004000'}`, 'hex');
    const head = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: proxmox-backup-reader-protocol-v1\r\n\r\n';
    let isUpgraded = false;
    const raw = await scriptedServer(certificate, (socket, received) => {
      if (isUpgraded) {
        if (received.includes('PRI * HTTP/2.0') && when.startsWith('long') && !received.endsWith('late')) setTimeout(() => socket.write(frame), 100);
        return;
      }
      if (received.includes('upgrade: ') && received.endsWith('\r\n\r\n')) {
        isUpgraded = true;
        socket.write(when.startsWith('long') ? head : Buffer.concat([Buffer.from(head), frame]));
      } else if (received.endsWith('}')) {
        socket.write(httpAnswer('200 OK', '{"data":{"CSRFPreventionToken":"1:a","ticket":"PBS:a","username":"backup@pbs"}}'));
      }
    });
    const other = open(raw.port);
    try {
      const opened = await other.openSession('reader', { store: 's' });
      const lost = failureOf(opened.request(get('/x')));
      await delay(200);
      expect(opened.isOpen).toBe(true);
      // The settings were understood: there is an acknowledgement.
      expect(raw.received().includes(Buffer.from('000000040100000000', 'hex'))).toBe(true);
      opened.close();
      await lost;
    } finally {
      await other.close();
      await raw.close();
    }
  });
});
