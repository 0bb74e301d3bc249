/** Who is let in, and what is sent before: real TLS on loopback. */
import { readFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer as createProxy, type IncomingMessage } from 'node:http';
import { connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseRepository } from '../../../src/format/repository.js';
import type { OpenOptions } from '../../../src/store/open-options.js';
import { openServer, type Server } from '../../../src/store/remote/server.js';
import { selfSignedCertificate, signedCertificate, type Certificate } from '../../support/certificate.js';
import { httpAnswer, scriptedServer, type ScriptedServer } from '../../support/scripted-server.js';
import { scratchDirectory } from '../../support/scratch.js';

let own: Certificate;
let signed: ReturnType<typeof signedCertificate>;
let elsewhere: ReturnType<typeof signedCertificate>;
const ends: (() => Promise<unknown>)[] = [];
const secret = 'S3cr3t-of-the-token';

beforeAll(() => {
  own = selfSignedCertificate();
  signed = signedCertificate(['DNS:localhost', 'IP:127.0.0.1']);
  elsewhere = signedCertificate(['DNS:other.example']);
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(certificate: Certificate): Promise<ScriptedServer> {
  const server = await scriptedServer(certificate, (socket, received) => {
    if (received.endsWith('\r\n\r\n')) socket.write(httpAnswer('200 OK', '{"data":{"version":"4.1"}}'));
  });
  ends.push(() => server.close());
  return server;
}

function open(port: number, options: Partial<OpenOptions> = {}, environment: NodeJS.ProcessEnv = {}, host = '127.0.0.1'): Server {
  const server = openServer(parseRepository(`backup@pbs!t01@${host}:${port}:store1`), {
    environment: { PBS_PASSWORD: secret, XDG_CONFIG_HOME: scratchDirectory(), ...environment },
    warn: () => undefined,
    timeoutMs: 300,
    ...options,
  });
  ends.push(() => server.close());
  return server;
}

const other = Array.from({ length: 32 }, () => 'ab').join(':');

describe('a certificate that no authority vouches for', () => {
  it.each<[string, (fingerprint: string) => [Partial<OpenOptions>, NodeJS.ProcessEnv]]>([
    ['is taken by the fingerprint that was given', (fingerprint) => [{ fingerprint }, {}]],
    ['in capitals', (fingerprint) => [{ fingerprint: fingerprint.toUpperCase() }, {}]],
    ['in the environment', (fingerprint) => [{}, { PBS_FINGERPRINT: fingerprint }]],
    ['by an option that wins over the environment', (fingerprint) => [{ fingerprint }, { PBS_FINGERPRINT: other }]],
  ])('%s', async (_name, given) => {
    const server = await start(own);
    expect(await open(server.port, ...given(own.fingerprint)).call('GET', '/version')).toEqual({ version: '4.1' });
  });

  it.each<[string, Partial<OpenOptions>, RegExp]>([
    ['is refused where nobody can be asked, and the message shows what to give', {}, /is not known; if its fingerprint ([0-9a-f]{2}:){31}[0-9a-f]{2} .*PBS_FINGERPRINT.*--fingerprint/],
    ['is refused if another one was given, without a question', { fingerprint: other, confirmFingerprint: () => Promise.resolve(true) }, /not the expected one/],
    ['is refused if a person says no', { confirmFingerprint: () => Promise.resolve(false) }, /was not accepted/],
  ])('%s, before a byte is sent', async (_name, options, message) => {
    const server = await start(own);
    await expect(open(server.port, options).call('GET', '/version')).rejects.toMatchObject({ code: 'UNTRUSTED', message: expect.stringMatching(message) as string });
    expect(server.received().length).toBe(0);
  });

  it('is remembered by its host when a person says yes, beside others, and asked for once', async () => {
    const server = await start(own);
    const config = scratchDirectory();
    mkdirSync(join(config, 'proxmox-backup'));
    const path = join(config, 'proxmox-backup/fingerprints');
    writeFileSync(path, `other.example ${other}\nno line of ours\n127.0.0.2 ${other}\n`);
    const asked: string[] = [];
    const confirmFingerprint = async (host: string, fingerprint: string): Promise<boolean> => {
      asked.push(`${host} ${fingerprint}`);
      await new Promise((done) => setTimeout(done, 600));
      return true;
    };
    const first = open(server.port, { confirmFingerprint }, { XDG_CONFIG_HOME: config });
    await Promise.all([first.call('GET', '/version'), first.call('GET', '/version'), first.call('GET', '/version')]);
    expect(asked).toEqual([`127.0.0.1 ${own.fingerprint}`]);
    expect(readFileSync(path, 'utf8')).toBe(`other.example ${other}\n127.0.0.2 ${other}\n127.0.0.1 ${own.fingerprint}\n`);
    await open(server.port, {}, { XDG_CONFIG_HOME: config }).call('GET', '/version');

    const changed = await start(signed);
    await expect(open(changed.port, { confirmFingerprint }, { XDG_CONFIG_HOME: config }).call('GET', '/version')).rejects.toMatchObject({
      code: 'UNTRUSTED',
      message: expect.stringContaining('another one than before') as string,
    });
    expect(changed.received().length).toBe(0);
  });

  it('in the file that systemd gives', async () => {
    const server = await start(own);
    const directory = scratchDirectory();
    writeFileSync(join(directory, 'proxmox-backup-client.fingerprint'), `${own.fingerprint}\n`);
    writeFileSync(join(directory, 'proxmox-backup-client.password'), 'other\n');
    expect(await open(server.port, {}, { CREDENTIALS_DIRECTORY: directory }).call('GET', '/version')).toEqual({ version: '4.1' });
  });
});

describe('a certificate of an authority that the system trusts', () => {
  it.each(['127.0.0.1', 'localhost'])('needs no fingerprint, and a wrong one is not looked at: %s', async (host) => {
    const server = await start(signed);
    expect(await open(server.port, { fingerprint: other }, { SSL_CERT_FILE: signed.caPath }, host).call('GET', '/version')).toEqual({ version: '4.1' });
    // A name is sent, an address is not; no protocol is offered.
    expect(new Set(server.names)).toEqual(new Set([host === 'localhost' ? 'localhost' : false]));
    expect(new Set(server.protocols)).toEqual(new Set([false]));
  });

  it('is enough where the remembered fingerprints can not be read, which is told once', async () => {
    const server = await start(signed);
    const config = scratchDirectory();
    mkdirSync(join(config, 'proxmox-backup/fingerprints'), { recursive: true });
    const lines: string[] = [];
    const trusting = open(server.port, { warn: (line) => lines.push(line) }, { SSL_CERT_FILE: signed.caPath, XDG_CONFIG_HOME: config });
    expect(await Promise.all([1, 2, 3].map(() => trusting.call('GET', '/version')))).toHaveLength(3);
    expect(lines).toEqual([expect.stringMatching(/^the fingerprints that are remembered can't be read: EISDIR/)]);
    const environment = { XDG_CONFIG_HOME: config };
    await expect(open(server.port, {}, environment).call('GET', '/version')).rejects.toMatchObject({ code: 'UNTRUSTED' });
  });

  it('but for another name is as good as none', async () => {
    const server = await start(elsewhere);
    const environment = { SSL_CERT_FILE: elsewhere.caPath };
    await expect(open(server.port, {}, environment).call('GET', '/version')).rejects.toMatchObject({ code: 'UNTRUSTED' });
    expect(server.received().length).toBe(0);
    expect(await open(server.port, { fingerprint: elsewhere.fingerprint }, environment).call('GET', '/version')).toEqual({ version: '4.1' });
  });
});

describe('what can not be reached', () => {
  it.each<[string, () => Promise<number>, string, RegExp]>([
    ['nobody listens', () => Promise.resolve(1), 'UNREACHABLE', /127\.0\.0\.1:1 can not be reached: connection refused \(ECONNREFUSED\)/],
    ['a server without TLS', plainServer, 'PROTOCOL', /no TLS connection/],
    ['a server that says nothing', silentServer, 'UNREACHABLE', /did not answer within/],
  ])('%s', async (_name, make, code, message) => {
    const port = await make();
    const begun = Date.now();
    await expect(open(port).call('GET', '/version')).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(Date.now() - begun).toBeLessThan(5000);
  });

  it('a host that is not there', async () => {
    await expect(open(8007, {}, {}, 'no-such-host.invalid').call('GET', '/version')).rejects.toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('no-such-host.invalid:8007') as string });
  });
});

async function listening(answer: (socket: Socket) => void): Promise<number> {
  const { createServer } = await import('node:net');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    answer(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

function plainServer(): Promise<number> {
  return listening((socket) => socket.on('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')));
}

function silentServer(): Promise<number> {
  return listening(() => undefined);
}

describe('a proxy', () => {
  interface Seen {
    readonly url: string;
    readonly rawHeaders: readonly string[];
  }

  async function proxy(status: number, seen: Seen[]): Promise<number> {
    const server = createProxy((_request, response) => response.writeHead(405).end());
    const sockets = new Set<Socket>();
    server.on('connect', (request: IncomingMessage, client: Socket) => {
      sockets.add(client);
      seen.push({ url: request.url ?? '', rawHeaders: request.rawHeaders });
      if (status !== 200) {
        client.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
        return;
      }
      const far = connectTcp(Number(request.url?.split(':')[1]), '127.0.0.1', () => {
        client.write('HTTP/1.1 200 Connected\r\n\r\n');
        far.pipe(client).pipe(far);
      });
      client.on('error', () => far.destroy());
      far.on('error', () => client.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    });
    return (server.address() as AddressInfo).port;
  }

  it('is gone through, with its user and password', async () => {
    const server = await start(own);
    const seen: Seen[] = [];
    const port = await proxy(200, seen);
    const environment = { ALL_PROXY: `http://me:pass%20word@127.0.0.1:${port}`, HTTPS_PROXY: 'http://127.0.0.1:1' };
    expect(await open(server.port, { fingerprint: own.fingerprint }, environment).call('GET', '/version')).toEqual({ version: '4.1' });
    expect(seen).toEqual([
      {
        url: `127.0.0.1:${server.port}`,
        rawHeaders: ['host', `127.0.0.1:${server.port}`, 'proxy-authorization', `Basic ${Buffer.from('me:pass word').toString('base64')}`],
      },
    ]);
  });

  it.each([
    [407, /refuses the way .* 407: it wants a user/],
    [502, /refuses the way .* 502/],
  ])('that says %s', async (status, message) => {
    const port = await proxy(status, []);
    const failed = open(8007, {}, { ALL_PROXY: `me:passphrase@127.0.0.1:${port}` }).call('GET', '/version');
    await expect(failed).rejects.toMatchObject({ code: 'UNREACHABLE', message: expect.stringMatching(message) as string });
    await expect(failed).rejects.not.toMatchObject({ message: expect.stringContaining('passphrase') as string });
  });

  it('of another kind is refused, and its password not shown', () => {
    expect(() => open(8007, {}, { ALL_PROXY: 'socks5://me:passphrase@127.0.0.1' })).toThrow(/^ALL_PROXY names no HTTP proxy like http:\/\/user:password@proxy.example.com:3128$/);
  });

  it('that is not there', async () => {
    await expect(open(8007, {}, { ALL_PROXY: '127.0.0.1:1' }).call('GET', '/version')).rejects.toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('the proxy 127.0.0.1:1 can not be reached') as string });
  });
});
