/** The port: TLS, and a hint for who speaks plain HTTP to it. Format: protocol, sections 4 and 5. */
import { STATUS_CODES, ServerResponse, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { codeOf } from '../errors.js';
import { ConnectionLimits } from './connection-limits.js';
import { endConnection } from './end-connection.js';
import { Exchange, addressOf } from './exchange.js';
import { listen } from './listen.js';
import type { Metrics } from './metrics.js';
import { redirectPlain } from './plain-redirect.js';

export interface ListenerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** PEM. */
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  readonly metrics: Metrics;
  readonly handle: (exchange: Exchange) => Promise<void>;
  readonly timeouts?: Partial<Timeouts>;
}

export interface Timeouts {
  /** From the connection on. */
  readonly firstByteMs: number;
  readonly handshakeMs: number;
  /** From the handshake, or from the first byte of a later request, to the end of its head. */
  readonly headMs: number;
  /** To the end of the body; a silence in it ends it sooner. */
  readonly requestMs: number;
  /** Between two requests. */
  readonly keepAliveMs: number;
}

export const defaultTimeouts: Timeouts = { firstByteMs: 10_000, handshakeMs: 10_000, headMs: 30_000, requestMs: 600_000, keepAliveMs: 120_000 };

const tlsVersionMin = 'TLSv1.2';
const headBytesMax = 32 * 1024;
const headersMax = 100;
const tcpKeepAliveMs = 120_000;
const timeoutCheckMs = 1000;
/** Requests of one connection that are sent before the answer to the first. */
const pipelinedMax = 16;
const listenersPerRequest = 4;
/** First byte of a TLS record with a handshake. */
const handshakeRecord = 0x16;

export class Listener {
  readonly #server: https.Server;
  readonly #options: ListenerOptions;
  readonly #timeouts: Timeouts;
  readonly #limits = new ConnectionLimits();
  /** What of the bytes of open connections is counted. */
  readonly #traffic = new Map<Socket, { received: number; sent: number }>();
  readonly #pending = new WeakMap<Socket, number>();

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#timeouts = { ...defaultTimeouts, ...options.timeouts };
    const { handshakeMs, headMs, requestMs, keepAliveMs } = this.#timeouts;
    this.#server = https.createServer({
      cert: options.cert,
      key: options.key,
      minVersion: tlsVersionMin,
      // None is chosen, whatever a client offers.
      ALPNProtocols: [],
      handshakeTimeout: handshakeMs,
      headersTimeout: headMs,
      requestTimeout: requestMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: timeoutCheckMs,
      maxHeaderSize: headBytesMax,
      requireHostHeader: false,
      keepAlive: true,
      keepAliveInitialDelay: tcpKeepAliveMs,
      noDelay: true,
    });
    this.#server.maxHeadersCount = headersMax;
    this.#listen();
  }

  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    await listen(listener.#server, options);
    return listener;
  }

  get address(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  /** For connections from now on. */
  useCertificate(cert: Buffer, key: Buffer): void {
    this.#server.setSecureContext({ cert, key, minVersion: tlsVersionMin });
  }

  /** No new connections, and none without a request. */
  stop(): void {
    this.#server.close();
    this.#server.closeIdleConnections();
  }

  /** Those that have not come as far as TLS, too. */
  closeAll(): void {
    this.#server.closeAllConnections();
    for (const socket of this.#traffic.keys()) socket.destroy();
  }

  #listen(): void {
    const server = this.#server;
    this.#options.metrics.beforeText(() => [...this.#traffic.keys()].forEach((socket) => this.#countTraffic(socket)));
    const secure = server.listeners('connection');
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => this.#accept(socket, () => secure.forEach((listener) => void listener.call(server, socket))));
    server.on('request', (request, response) => void this.#exchange(request, response));
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => void this.#upgrade(request, socket, head));
    server.on('tlsClientError', (_error, socket: TLSSocket) => socket.destroy());
    server.on('clientError', (error, socket) => refuseBytes(error, socket as Socket));
  }

  #accept(socket: Socket, secure: () => void): void {
    const { metrics } = this.#options;
    const address = addressOf(socket);
    socket.on('error', () => undefined);
    if (!this.#limits.take(address)) {
      metrics.add('connections_refused_total');
      return void socket.destroy();
    }
    metrics.add('connections_total');
    metrics.add('connections', 1);
    this.#traffic.set(socket, { received: 0, sent: 0 });
    socket.once('close', () => {
      this.#limits.give(address);
      metrics.add('connections', -1);
      this.#countTraffic(socket);
      this.#traffic.delete(socket);
    });
    const timer = setTimeout(() => socket.destroy(), this.#timeouts.firstByteMs);
    socket.once('close', () => clearTimeout(timer));
    socket.once('data', (head: Buffer) => {
      clearTimeout(timer);
      socket.pause();
      if (head[0] !== handshakeRecord) return redirectPlain(socket, head, this.#timeouts.firstByteMs);
      socket.unshift(head);
      secure();
    });
  }

  #countTraffic(socket: Socket): void {
    const counted = this.#traffic.get(socket);
    if (counted === undefined) return;
    const { bytesRead, bytesWritten } = socket;
    this.#options.metrics.add('received_bytes_total', bytesRead - counted.received);
    this.#options.metrics.add('sent_bytes_total', bytesWritten - counted.sent);
    Object.assign(counted, { received: bytesRead, sent: bytesWritten });
  }

  async #exchange(request: IncomingMessage, response: ServerResponse, head?: Buffer): Promise<void> {
    const { socket } = request;
    const pending = (this.#pending.get(socket) ?? 0) + 1;
    if (pending > pipelinedMax) return void socket.destroy();
    socket.setMaxListeners(listenersPerRequest * pipelinedMax);
    this.#pending.set(socket, pending);
    await this.#options.handle(new Exchange(request, response, head)).catch(() => socket.destroy());
    this.#pending.set(socket, (this.#pending.get(socket) ?? 1) - 1);
  }

  async #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    socket.on('error', () => undefined);
    // Before the answers to earlier requests: there is no telling which bytes would be whose.
    if ((this.#pending.get(socket) ?? 0) > 0) return void socket.destroy();
    const response = new ServerResponse(request);
    response.assignSocket(socket);
    await this.#exchange(request, response, head);
  }
}

const statusOfCode: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };

/** Whose further bytes are errors, too, and must not keep them from reading the answer. */
const refused = new WeakSet<Socket>();

/** What is no HTTP, or too slow. */
function refuseBytes(error: Error, socket: Socket): void {
  if (refused.has(socket)) return;
  if (!socket.writable || codeOf(error) === 'ECONNRESET') return void socket.destroy();
  refused.add(socket);
  const status = statusOfCode[codeOf(error) ?? ''] ?? 400;
  endConnection(socket, `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-length: 0\r\nconnection: close\r\ndate: ${new Date().toUTCString()}\r\n\r\n`);
}
