/** A server on loopback that speaks just enough of the protocol to be logged in to, asked and upgraded, and keeps what it was sent. */
import { once } from 'node:events';
import { performServerHandshake, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Certificate } from './certificate.js';

export interface Seen {
  readonly method: string;
  readonly url: string;
  /** In order, as sent. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
  /** Which connection it came on. */
  readonly connection: number;
}

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;
type StreamAnswer = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer) => void;

export class SmallServer {
  readonly seen: Seen[] = [];
  readonly sessions: ServerHttp2Session[] = [];
  readonly servernames: (string | false | null | undefined)[] = [];
  connections = 0;
  logins = 0;
  password = 'secret';
  user = 'backup@pbs';
  tokenSecret = 'a b"c';
  /** A ticket that isn't in here is refused. */
  readonly tickets = new Set<string>();
  /** Instead of the usual answers. */
  answer: Answer | undefined;
  /** Instead of the upgrade. */
  refuseUpgrade: ((socket: TLSSocket) => void) | undefined;
  stream: StreamAnswer = (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/json;charset=UTF-8' });
    stream.end('{"data":null}');
  };
  /** Answers before the body has come; true if it did. */
  early: ((stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean) | undefined;
  settings: { maxConcurrentStreams?: number; initialWindowSize: number; maxFrameSize: number } = { maxConcurrentStreams: 200, initialWindowSize: 32 << 20, maxFrameSize: 4 << 20 };
  /** Of all streams of a connection together, where it is not the usual one of HTTP/2. */
  connectionWindow: number | undefined;
  readonly #server: Server;
  readonly #sockets = new Map<TLSSocket, number>();

  private constructor({ key, cert }: Certificate) {
    this.#server = createServer({ key, cert, keepAliveTimeout: 60_000 });
    this.#server.on('secureConnection', (socket: TLSSocket) => {
      this.#sockets.set(socket, ++this.connections);
      this.servernames.push(socket.servername);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
    });
    this.#server.on('tlsClientError', () => undefined);
    this.#server.on('request', (request, response) => void this.#serve(request, response));
    this.#server.on('upgrade', (request: IncomingMessage, socket: TLSSocket, head: Buffer) => {
      this.#upgrade(request, socket, head);
    });
  }

  static async start(certificate: Certificate, host = '127.0.0.1'): Promise<SmallServer> {
    const server = new SmallServer(certificate);
    server.#server.listen(0, host);
    await once(server.#server, 'listening');
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  dropConnections(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
  }

  async close(): Promise<void> {
    this.dropConnections();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, 'close');
  }

  #keep(request: IncomingMessage, body: string): void {
    const { method = '', url = '', rawHeaders } = request;
    this.seen.push({ method, url, rawHeaders, body, connection: this.#sockets.get(request.socket as TLSSocket) ?? 0 });
  }

  isKnown({ headers }: IncomingMessage): boolean {
    if (headers.authorization !== undefined) return headers.authorization === `PBSAPIToken ${this.user}!t01:${this.tokenSecret.replaceAll(' ', '%20').replaceAll('"', '%22')}`;
    return this.tickets.has((headers.cookie ?? '').replace('PBSAuthCookie=', ''));
  }

  newTicket(): string {
    const ticket = `PBS:${this.user}:${String(++this.logins).padStart(8, '0')}::sig+/==`;
    this.tickets.add(ticket);
    return ticket;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    try {
      for await (const part of request) parts.push(part as Buffer);
    } catch {
      // Whoever sent it is gone.
      return;
    }
    const body = Buffer.concat(parts).toString();
    this.#keep(request, body);
    if (this.answer !== undefined) return this.answer(request, response, body);
    if (request.url?.endsWith('/api2/json/access/ticket') === true) return this.#logIn(response, body);
    if (!this.isKnown(request)) return refuse(response, 401, 'authentication failed - invalid ticket');
    give(response, { path: request.url ?? '' });
  }

  #logIn(response: ServerResponse, body: string): void {
    const { username, password } = JSON.parse(body) as { username: string; password: string };
    if (username !== this.user || (password !== this.password && !this.tickets.has(password))) return refuse(response, 401, 'authentication failed');
    give(response, { CSRFPreventionToken: 'csrf:1', ticket: this.newTicket(), username });
  }

  #upgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer): void {
    this.#keep(request, '');
    if (this.refuseUpgrade !== undefined) {
      this.refuseUpgrade(socket);
      return;
    }
    if (!this.isKnown(request)) {
      socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 21\r\n\r\nauthentication failed');
      return;
    }
    if (head.length > 0) socket.unshift(head);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${request.headers.upgrade ?? ''}\r\n\r\n`, () => {
      setImmediate(() => {
        this.#talk(socket);
      });
    });
  }

  #talk(socket: TLSSocket): void {
    const session = performServerHandshake(socket, { settings: this.settings, maxSessionMemory: 1000 });
    if (this.connectionWindow !== undefined) session.setLocalWindowSize(this.connectionWindow);
    this.sessions.push(session);
    session.on('error', () => undefined);
    session.on('stream', (stream, headers) => {
      const parts: Buffer[] = [];
      stream.on('error', () => undefined);
      if (this.early?.(stream, headers) === true) return;
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('end', () => {
        this.stream(stream, headers, Buffer.concat(parts));
      });
    });
  }
}

export function give(response: ServerResponse, data: unknown): void {
  const text = JSON.stringify({ data });
  response.writeHead(200, { 'content-type': 'application/json;charset=UTF-8', 'content-length': Buffer.byteLength(text) }).end(text);
}

export function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-length': Buffer.byteLength(text) }).end(text);
}
