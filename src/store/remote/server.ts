/** A server: one login, calls of its JSON API, and sessions of its two HTTP/2 protocols. Format: protocol, sections 5, 6 and 9.1. */
import { PbsfsError, StoreError, codeOf, messageOf } from '../../errors.js';
import { parseAuthId } from '../../format/auth-id.js';
import type { JsonObject, JsonValue } from '../../format/json.js';
import type { Repository } from '../../format/repository.js';
import type { OpenOptions } from '../open-options.js';
import { answerBytesMax, dataOf, isLoginFailure, refusalOf, type Answer } from './answers.js';
import type { Authentication } from './authentication.js';
import { BackOff, abortError, unlessAborted, wait } from './back-off.js';
import { ClientState, type Ticket } from './client-state.js';
import { connectServer } from './connect.js';
import { HttpClient, type HttpRequest } from './http-client.js';
import { openProtocolSession } from './protocol-session.js';
import { proxyOf } from './proxy.js';
import { jsonBody, queryText } from './query.js';
import { RoundTrips } from './round-trips.js';
import type { CallOptions, Parameters, ProtocolSession, ServerApi, ServerState, SessionOptions } from './server-api.js';
import { ServerHealth } from './server-health.js';
import { TicketAuthentication } from './ticket-authentication.js';
import { TokenAuthentication } from './token-authentication.js';
import { Trust } from './trust.js';

export const defaultTimeoutMs = 60_000;
/** How long other clients wait for any answer; what only reads is asked for again sooner. */
const headMs = 120_000;
/** Servers refuse longer ones with 414, section 5.1; notes may be long. */
const queryLengthMax = 2048;

const userAgent = 'proxmox-backup-client/1.0';
const form = 'application/x-www-form-urlencoded';
const json = 'application/json';
const protocolIds = { backup: 'proxmox-backup-protocol-v1', reader: 'proxmox-backup-reader-protocol-v1' } as const;

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

interface Sent {
  readonly method: Method;
  readonly path: string;
  readonly contentType: string;
  readonly body?: Buffer | undefined;
  readonly bytesMax?: number;
  readonly signal?: AbortSignal | undefined;
  /** It is not asked again: the server may take its time. */
  readonly isChange?: boolean;
  /** What is left of the time; all of it if undefined. */
  readonly timeoutMs?: number;
}

/** Nothing is sent before the first call. USAGE for settings of the environment that make no sense. */
export function openServer(repository: Repository, options: OpenOptions): Server {
  return new Server(repository, options);
}

export class Server implements ServerApi {
  readonly repository: Repository;
  readonly #what: string;
  readonly #timeoutMs: number;
  readonly #http: HttpClient;
  readonly #authentication: Authentication;
  readonly #health = new ServerHealth();
  readonly #roundTrips = new RoundTrips();
  readonly #sessions = new Set<ProtocolSession>();
  readonly #closing = new AbortController();

  constructor(repository: Repository, options: OpenOptions) {
    const { host, port, authId } = repository;
    const { environment, askPassword } = options;
    const state = new ClientState(environment);
    const trust = new Trust(host, options, state);
    const proxy = proxyOf(environment);
    this.repository = repository;
    this.#what = `${host}:${port}`;
    this.#timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    this.#http = new HttpClient(this.#what, (signal) =>
      connectServer({ address: { host, port }, proxy, environment, known: () => trust.known(), check: (digest) => trust.check(digest), timeoutMs: this.#timeoutMs, signal }),
    );
    this.#authentication =
      parseAuthId(authId).token === undefined
        ? new TicketAuthentication(authId, host, { ...options, askPassword: askPassword && ((user) => this.#ask(user, askPassword)) }, state, (user, password) => this.#logIn(user, password))
        : new TokenAuthentication(authId, options);
  }

  async call(method: Method, path: string, parameters: Parameters = {}, { signal }: CallOptions = {}): Promise<JsonValue> {
    const inBody = method === 'POST' ? Object.values(parameters).some((value) => value !== undefined) : method === 'PUT' && queryText(parameters).length > queryLengthMax;
    const sent: Sent = {
      method,
      path: `/api2/json${path}${inBody ? '' : queryText(parameters)}`,
      contentType: inBody ? json : form,
      body: inBody ? jsonBody(parameters) : undefined,
      isChange: method !== 'GET',
      signal: this.#signal(signal),
    };
    const what = `${this.#what}: ${method} ${path}`;
    return await this.#repeatedly(method === 'GET', sent.signal, async (timeoutMs) => dataOf(await this.#accepted({ ...sent, timeoutMs }, what), what));
  }

  async upload(path: string, parameters: Parameters, body: Buffer): Promise<JsonValue> {
    const what = `${this.#what}: POST ${path}`;
    const sent: Sent = { method: 'POST', path: `/api2/json${path}${queryText(parameters)}`, contentType: 'application/octet-stream', body, isChange: true, signal: this.#closing.signal };
    return await this.#repeatedly(false, sent.signal, async (timeoutMs) => dataOf(await this.#accepted({ ...sent, timeoutMs }, what), what));
  }

  async download(path: string, parameters: Parameters, bytesMax: number, { signal }: CallOptions = {}): Promise<Buffer> {
    const sent: Sent = { method: 'GET', path: `/api2/json${path}${queryText(parameters)}`, contentType: form, bytesMax, signal: this.#signal(signal) };
    const body = await this.#repeatedly(true, sent.signal, async (timeoutMs) => await this.#accepted({ ...sent, timeoutMs }, `${this.#what}: GET ${path}`));
    return Buffer.from(body.buffer, body.byteOffset, body.length);
  }

  async openSession(protocol: 'backup' | 'reader', parameters: Parameters, { signal, progress }: SessionOptions = {}): Promise<ProtocolSession> {
    const whole = this.#signal(signal);
    return await this.#repeatedly(protocol === 'reader', whole, async (timeoutMs) => await this.#upgrade(protocol, parameters, { signal: whole, timeoutMs, progress }));
  }

  /** Asks for a ticket, or tries the token, so that a wrong password shows. */
  async logIn(): Promise<void> {
    if (parseAuthId(this.repository.authId).token !== undefined) await this.call('GET', '/version');
    else await this.#repeatedly(false, this.#closing.signal, async () => await this.#authentication.headers());
  }

  state(): ServerState {
    return { ...this.#health.state(), sessions: this.#sessions.size, roundTripMs: this.#roundTrips.ms };
  }

  close(): Promise<void> {
    this.#closing.abort(new StoreError('CLOSED', `the connection to ${this.#what} is closed`));
    this.#authentication.close();
    for (const session of this.#sessions) session.close();
    this.#http.close();
    return Promise.resolve();
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
  }

  /** While the server can't be reached and there is time. */
  async #repeatedly<T>(isRepeatable: boolean, signal: AbortSignal | undefined, attempt: (timeoutMs: number) => Promise<T>): Promise<T> {
    const backOff = new BackOff();
    const end = Date.now() + this.#timeoutMs;
    for (;;) {
      try {
        const result = await attempt(Math.max(1, end - Date.now()));
        this.#health.reached();
        return result;
      } catch (error) {
        if (signal?.aborted === true) throw abortError(signal);
        if (codeOf(error) !== 'UNREACHABLE') {
          if (error instanceof PbsfsError && error.code !== 'PROTOCOL') this.#health.reached();
          throw error;
        }
        this.#health.lost(messageOf(error));
        const ms = backOff.nextMs();
        if (!isRepeatable || Date.now() + ms >= end) throw error;
        await wait(ms, signal);
      }
    }
  }

  async #accepted(sent: Sent, what: string): Promise<Uint8Array> {
    const answer = await this.#authenticated(sent, (headers) => this.#http.send(this.#request(sent, headers)));
    if (answer.status < 200 || answer.status > 299) throw refusalOf(answer, what);
    return answer.body;
  }

  async #upgrade(protocol: 'backup' | 'reader', parameters: Parameters, { progress, ...limits }: Pick<Sent, 'signal' | 'timeoutMs'> & SessionOptions): Promise<ProtocolSession> {
    // The path begins as all other clients have it.
    const sent: Sent = { method: 'GET', path: `//api2/json/${protocol}${queryText(parameters)}`, contentType: form, ...limits };
    const upgraded = await this.#authenticated(sent, (headers) =>
      this.#http.upgrade(this.#request(sent, { ...headers, connection: 'upgrade', upgrade: protocolIds[protocol] })),
    );
    const what = `${this.#what}: ${protocol} session`;
    if (!('socket' in upgraded)) throw refusalOf(upgraded, what);
    const session = await openProtocolSession(upgraded, { what, timeoutMs: this.#timeoutMs, roundTrips: this.#roundTrips, progress });
    this.#sessions.add(session);
    void session.ended.then((error) => {
      this.#sessions.delete(session);
      if (error !== undefined) this.#health.lost(messageOf(error));
    });
    return session;
  }

  /** A refused ticket is replaced once, if there is a password. */
  async #authenticated<T extends object>(sent: Sent, send: (headers: Readonly<Record<string, string>>) => Promise<T | Answer>): Promise<T | Answer> {
    const headers = await unlessAborted(sent.signal, this.#authentication.headers());
    const answer = await send(headers);
    if (!('status' in answer) || !isLoginFailure(answer)) return answer;
    if (!(await unlessAborted(sent.signal, this.#authentication.renew(headers)))) return answer;
    return await send(await unlessAborted(sent.signal, this.#authentication.headers()));
  }

  #request({ method, path, contentType, body, isChange = false, bytesMax = answerBytesMax, signal, timeoutMs = this.#timeoutMs }: Sent, headers: Readonly<Record<string, string>>): HttpRequest {
    return {
      method,
      path,
      headers: { 'user-agent': userAgent, 'content-type': contentType, ...headers },
      body,
      timeoutMs: isChange ? Math.max(headMs, timeoutMs) : Math.min(headMs, timeoutMs),
      bytesMax,
      signal,
    };
  }

  /** Nobody types a password for a server that is not there, or is another one. */
  async #ask(user: string, askPassword: (user: string) => Promise<string>): Promise<string> {
    await this.#http.connect();
    return await askPassword(user);
  }

  async #logIn(username: string, password: string): Promise<Ticket> {
    const what = `${this.#what}: login of ${username}`;
    const sent: Sent = { method: 'POST', path: '//api2/json/access/ticket', contentType: json, body: jsonBody({ password, username }), signal: this.#closing.signal };
    const answer = await this.#http.send(this.#request(sent, {}));
    if (answer.status !== 200) throw refusalOf(answer, what);
    return ticketOf(dataOf(answer.body, what), username, what);
  }
}

function ticketOf(data: JsonValue, user: string, what: string): Ticket {
  const { ticket, username, CSRFPreventionToken: token } = (typeof data === 'object' && data !== null && !Array.isArray(data) ? data : {}) as JsonObject;
  if (typeof ticket !== 'string' || typeof token !== 'string' || username !== user) throw new StoreError('PROTOCOL', `${what}: the answer is no ticket`);
  if (ticket.startsWith(`PBS:!tfa!`)) {
    throw new StoreError('LOGIN_FAILED', `${what}: the user has a second factor, which can not be asked for; use an API token`);
  }
  return { timestamp: Math.floor(Date.now() / 1000), ticket, token };
}
