/** Format: protocol, section 5.1. Requests of HTTP/1.1 on kept connections, byte by byte as other clients send them. */
import { Agent, request as startRequest, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { StoreError, codeOf } from '../../errors.js';
import { abortable } from './back-off.js';
import { noAnswer, unreachable } from './network-error.js';
import { Slots } from './slots.js';

const connectionsMax = 4;
const idleMsMax = 30_000;
const partBytes = 64 << 10;

export interface HttpRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** In the order in which they are sent, without `host` and `content-length`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | undefined;
  /** Between parts of the body, until the head of the answer, and then between its parts. */
  readonly timeoutMs: number;
  /** Of the body of the answer. */
  readonly bytesMax: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Upgraded {
  readonly socket: Duplex;
  /** Bytes behind the head of the answer. */
  readonly head: Buffer;
}

type Connect = (signal: AbortSignal) => Promise<TLSSocket>;

export class HttpClient {
  readonly #host: string;
  readonly #closing = new AbortController();
  readonly #agent: ConnectionPool;
  /** The agent counts connections only when they are made. */
  readonly #slots = new Slots(connectionsMax);

  /** `host`: `pbs.example.com:8007`. */
  constructor(host: string, connect: Connect) {
    this.#host = host;
    this.#agent = new ConnectionPool(connect, this.#closing.signal);
  }

  /** Has a connection for the next request, whatever that takes: UNREACHABLE, UNTRUSTED, PROTOCOL. */
  async connect(): Promise<void> {
    await this.#agent.prepare();
  }

  /** UNREACHABLE, UNTRUSTED, PROTOCOL, INTERRUPTED. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const answer = await this.#exchange(request);
    if ('socket' in answer) {
      answer.socket.destroy();
      throw new StoreError('PROTOCOL', `${this.#host} changes the protocol without being asked`);
    }
    return answer;
  }

  /** An answer is a refusal. */
  async upgrade(request: HttpRequest): Promise<HttpAnswer | Upgraded> {
    return await this.#exchange(request);
  }

  close(): void {
    this.#closing.abort(new StoreError('CLOSED', `the connection to ${this.#host} is closed`));
    this.#agent.destroy();
  }

  /** A kept connection that the server has closed meanwhile is noticed only now; GETs have another attempt. */
  async #exchange(request: HttpRequest): Promise<HttpAnswer | Upgraded> {
    await this.#slots.take(request.signal);
    try {
      for (;;) {
        const attempt = { isStale: false };
        try {
          return await this.#attempt(request, attempt);
        } catch (error) {
          if (!attempt.isStale || request.method !== 'GET') throw error;
        }
      }
    } finally {
      // By then its connection is kept for the next one.
      setImmediate(() => {
        this.#slots.free();
      });
    }
  }

  #attempt({ method, path, headers, body, timeoutMs, bytesMax, signal }: HttpRequest, attempt: { isStale: boolean }): Promise<HttpAnswer | Upgraded> {
    return abortable(signal, (done, fail) => {
      const sent = startRequest({
        agent: this.#agent,
        method,
        path,
        headers: { ...headers, host: this.#host, ...(body !== undefined && { 'content-length': String(body.length) }) },
        setHost: false,
      });
      prepare(sent, body);
      const clock = new Clock(timeoutMs, () => {
        end(noAnswer(this.#host, timeoutMs));
      });
      // Connecting has limits of its own, and a person may be asked.
      sent.once('socket', () => {
        clock.start();
      });
      const end = (error: Error): void => {
        clock.stop();
        fail(unreachable(this.#host, error));
        sent.destroy();
      };
      sent.on('error', (error) => {
        attempt.isStale = sent.reusedSocket && isLoss(error);
        end(error);
      });
      sent.once('upgrade', (_answer: IncomingMessage, socket: Duplex, head: Buffer) => {
        clock.stop();
        (socket as TLSSocket).setTimeout(0);
        done({ socket, head });
      });
      sent.once('response', (answer) => {
        gather(answer, bytesMax, clock, (error, gathered) => {
          if (error !== undefined) return end(error);
          clock.stop();
          done({ status: answer.statusCode ?? 0, headers: answer.headers, body: gathered });
        });
      });
      sendBody(sent, body, () => {
        clock.restart();
      });
      return end;
    });
  }
}

/** As connections that stay open are the rule, other clients do not say it, and leave out the length of nothing. */
function prepare(request: ClientRequest, body: Buffer | undefined): void {
  if (request.getHeader('connection') === undefined) request.removeHeader('connection');
  if (body === undefined) request.useChunkedEncodingByDefault = false;
}

/** One part after the other: of what is written together Node tells only when all of it is gone. */
function sendBody(request: ClientRequest, body: Buffer | undefined, passed: () => void, at = 0): void {
  if (body === undefined || body.length - at <= partBytes) {
    request.end(body?.subarray(at));
    return;
  }
  request.write(body.subarray(at, at + partBytes), (error) => {
    if (error !== null && error !== undefined) return;
    passed();
    sendBody(request, body, passed, at + partBytes);
  });
}

function isLoss(error: Error): boolean {
  return ['ECONNRESET', 'EPIPE'].includes(codeOf(error) ?? '');
}

function gather(answer: IncomingMessage, bytesMax: number, clock: Clock, done: (error: Error | undefined, body: Buffer) => void): void {
  const parts: Buffer[] = [];
  let length = 0;
  answer.on('data', (part: Buffer) => {
    clock.restart();
    length += part.length;
    if (length > bytesMax) done(new StoreError('PROTOCOL', `an answer of the server is longer than the ${bytesMax} bytes that are read`), Buffer.alloc(0));
    else parts.push(part);
  });
  answer.once('end', () => {
    done(undefined, Buffer.concat(parts));
  });
  answer.once('error', (error) => {
    done(error, Buffer.alloc(0));
  });
}

class Clock {
  readonly #ms: number;
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number, ring: () => void) {
    this.#ms = ms;
    this.#ring = ring;
  }

  start(): void {
    this.#timer = setTimeout(this.#ring, this.#ms);
  }

  restart(): void {
    this.#timer?.refresh();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function ignore(): void {
  return undefined;
}

class ConnectionPool extends Agent {
  readonly #connect: Connect;
  readonly #signal: AbortSignal;
  #ready: TLSSocket | undefined;

  constructor(connect: Connect, signal: AbortSignal) {
    super({ keepAlive: true, timeout: idleMsMax });
    this.#connect = connect;
    this.#signal = signal;
  }

  async prepare(): Promise<void> {
    this.#ready ??= await this.#connect(this.#signal);
    // It may be lost before it is used; then there is another one.
    this.#ready.on('error', ignore);
  }

  override destroy(): void {
    this.#ready?.destroy();
    super.destroy();
  }

  /** Gives the connection later. */
  override createConnection(_options: unknown, done: (error: Error | null, socket: Duplex) => void): undefined {
    this.#next().then(
      (socket) => {
        done(null, socket);
      },
      (error: unknown) => {
        done(error as Error, undefined as unknown as Duplex);
      },
    );
  }

  async #next(): Promise<TLSSocket> {
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready === undefined || ready.destroyed) return await this.#connect(this.#signal);
    ready.off('error', ignore);
    return ready;
  }
}
