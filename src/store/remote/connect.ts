/** Format: protocol, section 4. A TLS connection to a server whose certificate has been checked: nothing was sent on it yet. */
import { createHash } from 'node:crypto';
import { connect as connectSocket, isIP, type Socket } from 'node:net';
import { connect as startTls, type TLSSocket } from 'node:tls';
import { StoreError } from '../../errors.js';
import { systemContext } from './authorities.js';
import { abortable } from './back-off.js';
import { noAnswer, unreachable } from './network-error.js';
import { openTunnel, type Proxy } from './proxy.js';

const connectMsMax = 10_000;
const handshakeMsMax = 20_000;
const keepAliveMs = 120_000;

export interface ServerAddress {
  /** An IPv6 address in brackets. */
  readonly host: string;
  readonly port: number;
}

export interface ConnectOptions {
  readonly address: ServerAddress;
  readonly proxy: Proxy | undefined;
  readonly environment: NodeJS.ProcessEnv;
  /** Rejects unless the certificate with this SHA-256 is the server's. It may ask a person, so it is called when nothing is open. */
  readonly check: (digest: Buffer) => Promise<void>;
  readonly signal: AbortSignal;
}

/** UNREACHABLE, UNTRUSTED, PROTOCOL. */
export async function connectServer(options: ConnectOptions): Promise<TLSSocket> {
  let accepted: Buffer | undefined;
  for (;;) {
    const socket = await openTls(options);
    const digest = digestOf(socket);
    if (socket.authorized || (accepted !== undefined && digest.equals(accepted))) return socket;
    socket.destroy();
    await options.check(digest);
    accepted = digest;
  }
}

async function openTls({ address, proxy, environment, signal }: ConnectOptions): Promise<TLSSocket> {
  const target = `${address.host}:${address.port}`;
  if (proxy === undefined) return await handshake(await connectTcp(address, target, signal), address, environment, signal);
  const tcp = await connectTcp(proxy, `the proxy ${proxy.host}:${proxy.port}`, signal);
  return await handshake(await openTunnel(tcp, proxy, target, handshakeMsMax, signal), address, environment, signal);
}

function connectTcp({ host, port }: ServerAddress, what: string, signal: AbortSignal): Promise<Socket> {
  return abortable(signal, (done, fail) => {
    const socket = connectSocket({ host: bareHost(host), port, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs });
    const end = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      fail(unreachable(what, error));
    };
    const timer = setTimeout(() => {
      end(noAnswer(what, connectMsMax));
    }, connectMsMax);
    socket.once('error', end);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', end);
      done(socket);
    });
    return end;
  });
}

/** The server's name is sent if it has one. What the check finds is only noted, for nothing is sent before it was looked at. */
function handshake(tcp: Socket, { host, port }: ServerAddress, environment: NodeJS.ProcessEnv, signal: AbortSignal): Promise<TLSSocket> {
  const what = `${host}:${port}`;
  const name = bareHost(host);
  return abortable(signal, (done, fail) => {
    const socket = startTls({
      socket: tcp,
      host: name,
      ...(isIP(name) === 0 && { servername: name }),
      rejectUnauthorized: false,
      secureContext: systemContext(environment),
    });
    const end = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      tcp.destroy();
      fail(unreachable(what, error));
    };
    const close = (): void => {
      end(new StoreError('UNREACHABLE', `${what} closed the connection before it was secure`));
    };
    const timer = setTimeout(() => {
      end(noAnswer(what, handshakeMsMax));
    }, handshakeMsMax);
    socket.once('error', end);
    socket.once('close', close);
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      socket.off('error', end);
      socket.off('close', close);
      done(socket);
    });
    return end;
  });
}

function digestOf(socket: TLSSocket): Buffer {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new StoreError('PROTOCOL', 'the server shows no certificate');
  return createHash('sha256').update(certificate.raw).digest();
}

function bareHost(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host;
}
