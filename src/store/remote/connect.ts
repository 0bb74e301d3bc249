/** Format: protocol, section 4. A TLS connection to a server whose certificate has been checked: nothing was sent on it yet. */
import { createHash } from 'node:crypto';
import { connect as connectSocket, isIP, type Socket } from 'node:net';
import { connect as startTls, type SecureContext, type TLSSocket } from 'node:tls';
import { StoreError } from '../../errors.js';
import { formatFingerprint } from '../../format/fingerprint.js';
import { contextWithoutAuthorities, systemContext } from './authorities.js';
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
  /** The fingerprint of the certificate, if one was given or is remembered. */
  readonly known: () => Promise<string | undefined>;
  /** Rejects unless the certificate with this SHA-256 is the server's. True if it took its time, as a person was asked. */
  readonly check: (digest: Buffer) => Promise<boolean>;
  /** Of the connection, of a proxy's answer, and of TLS: of each, and never more than the usual times. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** UNREACHABLE, UNTRUSTED, PROTOCOL. */
export async function connectServer(options: ConnectOptions): Promise<TLSSocket> {
  const known = await options.known();
  if (known !== undefined) {
    // To load all the authorities takes longer than to connect, and most servers have none of them.
    const socket = await openTls(options, contextWithoutAuthorities());
    if (formatFingerprint(digestOf(socket)) === known) return socket;
    socket.destroy();
  }
  for (;;) {
    const socket = await openTls(options, systemContext(options.environment));
    if (socket.authorized || (await isChecked(socket, options.check))) return socket;
  }
}

/** False if the connection was not kept until a person had answered. */
async function isChecked(socket: TLSSocket, check: ConnectOptions['check']): Promise<boolean> {
  const ignore = (): void => undefined;
  socket.on('error', ignore);
  try {
    const isLate = await check(digestOf(socket));
    if (!isLate && !socket.destroyed) return true;
    socket.destroy();
    return false;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    if (!socket.destroyed) socket.off('error', ignore);
  }
}

async function openTls({ address, proxy, timeoutMs, signal }: ConnectOptions, secureContext: SecureContext): Promise<TLSSocket> {
  const target = `${address.host}:${address.port}`;
  const connectMs = Math.min(timeoutMs, connectMsMax);
  const handshakeMs = Math.min(timeoutMs, handshakeMsMax);
  const tcp = await (proxy === undefined ? connectTcp(address, target, connectMs, signal) : connectTcp(proxy, `the proxy ${proxy.host}:${proxy.port}`, connectMs, signal));
  const way = proxy === undefined ? tcp : await openTunnel(tcp, proxy, target, handshakeMs, signal);
  return await handshake(way, { host: bareHost(address.host), what: target, secureContext, timeoutMs: handshakeMs, signal });
}

function connectTcp({ host, port }: ServerAddress, what: string, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  return abortable(signal, (done, fail) => {
    const socket = connectSocket({ host: bareHost(host), port, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs });
    const end = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      fail(unreachable(what, error));
    };
    const timer = setTimeout(() => {
      end(noAnswer(what, timeoutMs));
    }, timeoutMs);
    socket.once('error', end);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', end);
      done(socket);
    });
    return end;
  });
}

interface HandshakeOptions {
  /** Without brackets. */
  readonly host: string;
  /** Begins messages. */
  readonly what: string;
  readonly secureContext: SecureContext;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** The server's name is sent if it has one. What the check finds is only noted, for nothing is sent before it was looked at. */
function handshake(tcp: Socket, { host, what, secureContext, timeoutMs, signal }: HandshakeOptions): Promise<TLSSocket> {
  return abortable(signal, (done, fail) => {
    const socket = startTls({
      socket: tcp,
      host,
      ...(isIP(host) === 0 && { servername: host }),
      rejectUnauthorized: false,
      secureContext,
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
      end(noAnswer(what, timeoutMs));
    }, timeoutMs);
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
