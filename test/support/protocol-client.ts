/** A client that sends what the recorded ones send, and what they never would. Nothing of it is from src/store/remote. */
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2';
import { request, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { onTestFinished } from 'vitest';
import { password } from './protocol-server.js';

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

export type Opened = ProtocolSession | HttpAnswer;

export interface OpenOptions {
  readonly user?: string;
  readonly kind?: 'backup' | 'reader';
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
}

export const backupId = 'elsa';
export const backupTime = 1717597476;

/** Per server: a ticket costs a hash. */
const tickets = new Map<string, string>();

/** `PBS:...` of a user, or `PBSAPIToken ...` of a token. */
async function authorization(port: number, user: string): Promise<Record<string, string>> {
  if (user.includes('!')) return { authorization: `PBSAPIToken ${user}:${encodeURIComponent(password)}` };
  const key = `${port} ${user}`;
  const known = tickets.get(key);
  const ticket = known ?? (await logIn(port, user));
  tickets.set(key, ticket);
  return { cookie: `PBSAuthCookie=${ticket}` };
}

async function logIn(port: number, username: string): Promise<string> {
  const body = JSON.stringify({ password, username });
  const { status, text } = await http({ port, method: 'POST', path: '//api2/json/access/ticket', headers: { 'content-type': 'application/json', 'content-length': body.length } }, body);
  if (status !== 200) throw new Error(`login of ${username}: ${status} ${text}`);
  return (JSON.parse(text) as { data: { ticket: string } }).data.ticket;
}

export async function http(options: RequestOptions, body = ''): Promise<HttpAnswer> {
  return await new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', rejectUnauthorized: false, agent: false, ...options }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** An open session, or what the server says instead. Closed when the test ends. */
export async function open(port: number, options: OpenOptions = {}): Promise<Opened> {
  const { user = 'backup@pbs', kind = 'backup', query = {}, headers = {} } = options;
  const own = kind === 'backup' ? { benchmark: 'false' } : {};
  const parameters = { 'backup-id': backupId, 'backup-time': String(backupTime), 'backup-type': 'host', ...own, debug: 'true', store: 'store1', ...query };
  const id = kind === 'backup' ? 'proxmox-backup-protocol-v1' : 'proxmox-backup-reader-protocol-v1';
  const all = { 'content-type': 'application/x-www-form-urlencoded', ...(await authorization(port, user)), connection: 'upgrade', upgrade: id, ...headers };
  return await new Promise<Opened>((resolve, reject) => {
    const path = `//api2/json/${kind}?${new URLSearchParams(parameters).toString()}`;
    const sent = request({ host: '127.0.0.1', port, path, headers: all, rejectUnauthorized: false, agent: false });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
    });
    sent.on('upgrade', (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      const session = new ProtocolSession(socket);
      onTestFinished(() => session.drop());
      resolve(session);
    });
    sent.end();
  });
}

export async function openBackup(port: number, options: OpenOptions = {}): Promise<ProtocolSession> {
  return session(await open(port, options));
}

export async function openReader(port: number, options: OpenOptions = {}): Promise<ProtocolSession> {
  return session(await open(port, { kind: 'reader', ...options }));
}

function session(opened: Opened): ProtocolSession {
  if (!(opened instanceof ProtocolSession)) throw new Error(`no session: ${opened.status} ${opened.text}`);
  return opened;
}

export interface SessionAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly headerNames: readonly string[];
  readonly body: Buffer;
  /** Of JSON. */
  readonly data: unknown;
}

export interface AskOptions {
  readonly body?: Uint8Array | string | object;
  readonly type?: string;
  /** The whole `:path`, instead of one of a name and a query. */
  readonly path?: string;
}

export type Query = Readonly<Record<string, string | number>>;

export class ProtocolSession {
  readonly http2: ClientHttp2Session;

  constructor(readonly socket: Duplex) {
    this.http2 = http2.connect('https://localhost:8007', {
      createConnection: () => socket,
      maxSessionMemory: 1000,
      settings: { initialWindowSize: 2 ** 31 - 2, maxFrameSize: 4 << 20, enablePush: false },
    });
    this.http2.on('error', () => undefined);
    this.http2.once('connect', () => this.http2.setLocalWindowSize(2 ** 31 - 2));
  }

  /** Starts a request; its body, if there is one, is for the caller to send. */
  begin(method: string, path: string, type: string, hasBody: boolean): ClientHttp2Stream {
    const headers = { ':method': method, ':scheme': 'https', ':authority': 'localhost:8007', ':path': path, 'user-agent': 'proxmox-backup-client/1.0', 'content-type': type };
    return this.http2.request(headers, { endStream: !hasBody });
  }

  async ask(method: string, name: string, query: Query = {}, { body, type, path }: AskOptions = {}): Promise<SessionAnswer> {
    const text = new URLSearchParams(Object.entries(query).map(([key, value]): [string, string] => [key, String(value)])).toString();
    const isJson = body !== undefined && typeof body === 'object' && !(body instanceof Uint8Array);
    const bytes = isJson ? JSON.stringify(body) : body;
    const usual = isJson ? 'application/json' : body instanceof Uint8Array ? 'application/octet-stream' : 'application/x-www-form-urlencoded';
    const stream = this.begin(method, path ?? `/${name}${text === '' ? '' : `?${text}`}`, type ?? usual, bytes !== undefined);
    if (bytes !== undefined) stream.end(bytes);
    return await answerOf(stream);
  }

  get(name: string, query: Query = {}): Promise<SessionAnswer> {
    return this.ask('GET', name, query);
  }

  post(name: string, query: Query = {}, body?: Uint8Array): Promise<SessionAnswer> {
    return this.ask('POST', name, query, body === undefined ? {} : { body });
  }

  put(name: string, body: object): Promise<SessionAnswer> {
    return this.ask('PUT', name, {}, { body });
  }

  /** As clients do it: without a word. */
  async drop(): Promise<void> {
    const closed = this.socket.destroyed ? undefined : once(this.socket, 'close').catch(() => undefined);
    this.http2.destroy();
    this.socket.destroy();
    await closed;
  }
}

export async function answerOf(stream: ClientHttp2Stream): Promise<SessionAnswer> {
  return await new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let headers: (IncomingHttpHeaders & IncomingHttpStatusHeader) | undefined;
    let headerNames: string[] = [];
    stream.on('response', (received, _flags, raw: string[] = []) => {
      headers = received;
      headerNames = raw.filter((_, i) => i % 2 === 0);
    });
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('error', reject);
    stream.on('close', () => {
      if (headers === undefined) return reject(new Error(`closed without an answer (${stream.rstCode})`));
      const body = Buffer.concat(parts);
      const isJson = headers['content-type']?.startsWith('application/json') === true && headers[':status'] === 200;
      const data = isJson ? (JSON.parse(body.toString()) as { data: unknown }).data : undefined;
      resolve({ status: headers[':status'] ?? 0, headers, headerNames, body, data });
    });
  });
}
