/** Format: protocol, section 3. ALL_PROXY: a tunnel through an HTTP proxy. */
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { StoreError, UsageError } from '../../errors.js';
import { abortable } from './back-off.js';
import { unreachable } from './network-error.js';

const defaultPort = 1080;

export interface Proxy {
  readonly host: string;
  readonly port: number;
  /** `user:password`; never shown. */
  readonly credentials: string | undefined;
}

/** Undefined without one. USAGE for another scheme than http; the text is not shown, as it may hold a password. */
export function proxyOf(environment: NodeJS.ProcessEnv): Proxy | undefined {
  const text = environment['ALL_PROXY'] ?? '';
  if (text === '') return undefined;
  const match = /^(?:http:\/\/)?(?:([^@/]*)@)?(\[[0-9A-Fa-f:.]+\]|[^:/@[\]]+)(?::(\d{1,5}))?\/?$/.exec(text);
  const [, credentials, host, port] = match ?? [];
  if (host === undefined || Number(port ?? defaultPort) > 65535) {
    throw new UsageError('ALL_PROXY names no HTTP proxy like http://user:password@proxy.example.com:3128');
  }
  return { host, port: Number(port ?? defaultPort), credentials: credentials === undefined ? undefined : decode(credentials) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `target`: `host:port`. `tcp` is connected to the proxy. Gives the same socket, from which the far end is read now. */
export function openTunnel(tcp: Socket, proxy: Proxy, target: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Socket> {
  const what = `the proxy ${proxy.host}:${proxy.port}`;
  return abortable(signal, (done, fail) => {
    const authorization = proxy.credentials === undefined ? {} : { 'proxy-authorization': `Basic ${Buffer.from(proxy.credentials).toString('base64')}` };
    const connect = request({ createConnection: () => tcp, method: 'CONNECT', path: target, headers: { host: target, ...authorization }, setHost: false, timeout: timeoutMs });
    connect.removeHeader('connection');
    const refuse = (error: Error): void => {
      connect.destroy();
      tcp.destroy();
      fail(error);
    };
    connect.once('connect', ({ statusCode = 0 }, _socket: unknown, head: Buffer) => {
      if (statusCode < 200 || statusCode > 299) return refuse(new StoreError('UNREACHABLE', `${what} refuses the way to ${target} with status ${statusCode}${statusCode === 407 ? ': it wants a user and password in ALL_PROXY' : ''}`));
      tcp.setTimeout(0);
      if (head.length > 0) tcp.unshift(head);
      done(tcp);
    });
    // A proxy that knows no CONNECT answers as to any other request.
    connect.once('response', ({ statusCode }) => refuse(new StoreError('PROTOCOL', `${what} answers with status ${statusCode}: is it an HTTP proxy?`)));
    connect.once('timeout', () => refuse(new StoreError('UNREACHABLE', `${what} gave no answer in time`)));
    connect.once('error', (error) => refuse(unreachable(what, error)));
    connect.end();
    return refuse;
  });
}
