/** Format: protocol, sections 9.4 to 9.6. HTTP/2 on the connection that was upgraded. */
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, type OutgoingHttpHeaders, type Settings } from 'node:http2';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { StoreError, messageOf } from '../../errors.js';
import { isConnected, unsentBytes } from '../../os/socket-state.js';
import type { JsonValue } from '../../format/json.js';
import { dataOf, refusalOf } from './answers.js';
import { abortError, abortable } from './back-off.js';
import type { Upgraded } from './http-client.js';
import { unreachable } from './network-error.js';
import { jsonBody, queryText } from './query.js';
import { ResponseBody } from './response-body.js';
import type { RoundTrips } from './round-trips.js';
import type { ProtocolSession, SessionRequest } from './server-api.js';
import { SilenceWatch } from './silence-watch.js';
import { Slots } from './slots.js';

const windowBytes = 2 ** 31 - 2;
const frameBytesMax = 4 << 20;
/** Beyond it Node refuses new streams; what is in memory is bounded by those who upload. */
const sessionMegabytesMax = 4096;
/** Before the server has said how many it takes. */
const streamsUsual = 100;
/** It would take more; each is memory here. */
const streamsMax = 1024;
const errorBytesMax = 8192;
/** Whose answers tell how long the way is: with many at once they wait for each other. */
const measuredTogetherMax = 2;

const userAgent = 'proxmox-backup-client/1.0';

export interface ProtocolSessionOptions {
  /** Begins messages. */
  readonly what: string;
  /** Nothing passes for so long: the connection is given up. */
  readonly timeoutMs: number;
  readonly roundTrips: RoundTrips;
  /** Called for each part of an answer. */
  readonly progress?: (() => void) | undefined;
}

/** UNREACHABLE if the connection breaks before it can be used. */
export async function openProtocolSession({ socket, head }: Upgraded, options: ProtocolSessionOptions): Promise<ProtocolSession> {
  if (head.length > 0) socket.unshift(head);
  // Bytes that are read already are replayed only into a session that begins in a later turn.
  await new Promise(setImmediate);
  const session = connect('https://localhost:8007', {
    createConnection: () => socket,
    settings: { initialWindowSize: windowBytes, maxFrameSize: frameBytesMax },
    maxSessionMemory: sessionMegabytesMax,
  });
  const opened = new Http2ProtocolSession(session, socket, options);
  await new Promise<void>((done) => {
    session.once('connect', done);
    void opened.ended.then(() => {
      done();
    });
  });
  if (opened.isOpen) session.setLocalWindowSize(windowBytes);
  return opened;
}

class Http2ProtocolSession implements ProtocolSession {
  readonly ended: Promise<Error | undefined>;
  readonly #session: ClientHttp2Session;
  readonly #options: ProtocolSessionOptions;
  readonly #slots: Slots;
  readonly #watch: SilenceWatch;
  #isClosed = false;
  #isMeasuring = false;
  #reason: Error | undefined;

  constructor(session: ClientHttp2Session, socket: Duplex, options: ProtocolSessionOptions) {
    this.#session = session;
    this.#options = options;
    this.#slots = new Slots(streamsUsual);
    this.#watch = new SilenceWatch(options.timeoutMs, {
      get bytesRead() {
        return (socket as TLSSocket).bytesRead;
      },
      get unsentBytes() {
        return unsentBytes(socket as TLSSocket);
      },
      get isConnected() {
        return isConnected(socket as TLSSocket);
      },
      ping: (answered) => {
        if (!session.destroyed) session.ping(answered);
      },
      dead: (ms) => {
        const reason = ms === undefined ? 'the connection was reset' : `nothing came for ${Math.round(ms / 1000)} s`;
        this.#end(new StoreError('UNREACHABLE', `${options.what}: ${reason}`));
        // The session would wait for it to end.
        socket.destroy();
      },
    });
    session.on('remoteSettings', ({ maxConcurrentStreams = streamsMax }: Settings) => {
      this.#slots.limit(Math.min(maxConcurrentStreams, streamsMax));
    });
    session.on('error', (error: Error) => {
      this.#reason ??= this.#lost(error);
    });
    session.on('goaway', (code: number) => {
      this.#reason ??= new StoreError('UNREACHABLE', `${options.what}: the server has ended the session (code ${code})`);
    });
    this.ended = new Promise((resolve) => {
      session.once('close', () => {
        socket.destroy();
        this.#slots.release();
        resolve(this.#isClosed ? undefined : this.#endReason());
      });
    });
  }

  get isOpen(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  get roundTripMs(): number | undefined {
    return this.#options.roundTrips.ms;
  }

  async call(request: SessionRequest): Promise<JsonValue> {
    return dataOf(await this.request(request), this.#what(request));
  }

  async request(request: SessionRequest): Promise<Uint8Array<ArrayBuffer>> {
    await this.#slots.take(request.signal);
    const isReader = request.method === 'GET';
    this.#watch.begin(isReader);
    try {
      if (request.signal?.aborted === true) throw abortError(request.signal);
      if (!this.isOpen) throw this.#endReason();
      return await this.#exchange(request);
    } finally {
      this.#watch.end(isReader);
      this.#slots.free();
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#session.destroy();
  }

  #end(reason: Error): void {
    this.#reason ??= reason;
    this.#session.destroy();
  }

  #endReason(): Error {
    if (this.#isClosed) return new StoreError('CLOSED', `${this.#options.what} is closed`);
    return (this.#reason ??= new StoreError('UNREACHABLE', `${this.#options.what}: the server closed the connection`));
  }

  #lost(error: Error): Error {
    return unreachable(this.#options.what, error);
  }

  #what({ method, path }: SessionRequest): string {
    return `${this.#options.what}: ${method} ${path}`;
  }

  async #exchange(request: SessionRequest): Promise<Uint8Array<ArrayBuffer>> {
    const { parts, headers } = encode(request);
    const begun = performance.now();
    const isMeasured = parts === undefined && this.#slots.taken <= measuredTogetherMax;
    if (!isMeasured) this.#measure();
    const stream = this.#session.request(headers, { endStream: parts === undefined });
    const answer = await abortable<{ status: number; body: Uint8Array<ArrayBuffer> }>(request.signal, (done, fail) => {
      const end = (error: Error): void => {
        fail(error);
        stream.close(constants.NGHTTP2_CANCEL);
      };
      // Who listens for data before gets some of it before the head, if both come together.
      stream.once('response', (head) => {
        this.#watch.progress();
        if (isMeasured) this.#options.roundTrips.measured(performance.now() - begun);
        const status = Number(head[':status']);
        const body = bodyFor(head, status, request.bytesMax);
        if (body === undefined) return end(this.#tooLong(request));
        stream.on('data', (part: Buffer) => {
          this.#watch.progress();
          this.#options.progress?.();
          if (!body.add(part) && status === 200) end(this.#tooLong(request));
        });
        stream.once('end', () => {
          // Streams of a connection that broke end, too.
          const isBroken = this.#session.destroyed || stream.rstCode !== constants.NGHTTP2_NO_ERROR;
          if (isBroken && !body.isAnnounced) return end(this.#streamError(request, stream, undefined));
          const whole = body.end();
          if (whole === undefined) return end(isBroken ? this.#streamError(request, stream, undefined) : this.#tooShort(request));
          done({ status, body: whole });
          // It may have answered before it had all.
          if (!stream.writableFinished) stream.close(constants.NGHTTP2_CANCEL);
        });
      });
      stream.on('error', (error: Error) => {
        fail(this.#streamError(request, stream, error));
      });
      stream.once('close', () => {
        fail(this.#streamError(request, stream, undefined));
      });
      this.#send(stream, parts);
      return end;
    });
    if (answer.status === 200) return answer.body;
    throw refusalOf(answer, this.#what(request), 'session');
  }

  /** By a PING, where no answer has told for some time. */
  #measure(): void {
    const { roundTrips } = this.#options;
    if (roundTrips.isRecent || this.#isMeasuring) return;
    this.#isMeasuring = this.#session.ping((error: Error | null, ms: number) => {
      this.#isMeasuring = false;
      if (error === null) roundTrips.measured(ms);
    });
  }

  #send(stream: ClientHttp2Stream, parts: readonly Uint8Array[] | undefined): void {
    if (parts === undefined) return;
    const passed = (): void => {
      this.#watch.progress();
    };
    for (const part of parts) stream.write(part, passed);
    stream.end();
  }

  #tooLong(request: SessionRequest): StoreError {
    return new StoreError('PROTOCOL', `${this.#what(request)}: the answer is longer than the ${request.bytesMax} bytes that are read`);
  }

  #tooShort(request: SessionRequest): StoreError {
    return new StoreError('PROTOCOL', `${this.#what(request)}: the answer is shorter than announced`);
  }

  #streamError(request: SessionRequest, stream: ClientHttp2Stream, error: Error | undefined): Error {
    if (!this.isOpen) return this.#endReason();
    const code = stream.rstCode;
    if (code === constants.NGHTTP2_PROTOCOL_ERROR) return new StoreError('PROTOCOL', `${this.#what(request)}: the answer breaks the rules of HTTP/2`);
    const reason = code === 0 ? (error === undefined ? 'without an answer' : messageOf(error)) : `with code ${code}`;
    return new StoreError('UNREACHABLE', `${this.#what(request)}: the server ended the request ${reason}`);
  }
}

/** Undefined if it is announced to be too long. Of the text of a refusal the beginning is enough. */
function bodyFor(head: IncomingHttpHeaders, status: number, bytesMax: number): ResponseBody | undefined {
  if (status !== 200) return new ResponseBody(undefined, errorBytesMax);
  const text = head['content-length'];
  const announced = text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  return announced !== undefined && announced > bytesMax ? undefined : new ResponseBody(announced, bytesMax);
}

/** The length of what is sent is not announced: no client does. */
function encode({ method, path, parameters = {}, send }: SessionRequest): { headers: OutgoingHttpHeaders; parts: readonly Uint8Array[] | undefined } {
  const inBody = send?.kind === 'json';
  const contentType = inBody ? 'application/json' : send === undefined ? 'application/x-www-form-urlencoded' : 'application/octet-stream';
  return {
    headers: {
      ':method': method,
      ':scheme': 'https',
      ':authority': 'localhost:8007',
      ':path': `${path}${inBody ? '' : queryText(parameters)}`,
      'user-agent': userAgent,
      'content-type': contentType,
    },
    parts: inBody ? [jsonBody(parameters)] : send?.parts,
  };
}
