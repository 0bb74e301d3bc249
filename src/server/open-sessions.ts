/** Connections that became HTTP/2 sessions: how they begin, how many there may be, and how they end. Format: protocol, sections 9.1 to 9.6. */
import http2, { type ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { messageOf } from '../errors.js';
import { isConnected } from '../os/socket-state.js';
import type { Call } from './endpoint.js';
import type { Exchange } from './exchange.js';
import { Refusal } from './refusal.js';
import { connectionWindowBytes, sessionSettings } from './sessions/session-settings.js';
import type { ServerContext } from './server-context.js';
import type { Protocol, UpgradedSession } from './upgrade.js';

/** Node's own account of a session, in MB: the windows bound it. */
const sessionMemoryMax = 1000;
const connectionCheckMs = 2000;
const sessionsMax = 256;
const sessionsPerUserMax = 64;
const sessionsPerAddressMax = 64;

interface OpenSession {
  readonly protocol: string;
  readonly userId: string;
  readonly address: string;
  http2?: ServerHttp2Session;
  readonly over: Deferred;
}

interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

export class OpenSessions {
  readonly #open = new Set<OpenSession>();
  #isDraining = false;
  /** What comes to be a session now is broken off, too. */
  #isBroken = false;

  constructor(
    readonly protocols: readonly Protocol[],
    private readonly context: Pick<ServerContext, 'log' | 'metrics'>,
  ) {}

  get count(): number {
    return this.#open.size;
  }

  /** Resolves when the connection is the session's, which then lives on by itself. Rejects with what the client is told. */
  async open(protocol: Protocol, exchange: Exchange, call: Call): Promise<void> {
    const { metrics } = this.context;
    try {
      await protocol.admit(call);
      checkHeader(protocol, exchange);
      const entry = this.#reserve(protocol, call);
      try {
        this.#take(entry, exchange, await protocol.begin(call));
      } catch (error) {
        this.#release(entry);
        throw error;
      }
    } catch (error) {
      metrics.add('sessions_refused_total', 1, { protocol: protocol.name });
      throw error;
    }
  }

  /** No new ones; resolves when all are over, which happens after `timeoutMs` to those that are left. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isDraining = true;
    const timer = setTimeout(() => this.#destroyAll(), timeoutMs);
    try {
      while (this.#open.size > 0) await Promise.all([...this.#open].map(({ over }) => over.promise));
    } finally {
      clearTimeout(timer);
    }
  }

  #destroyAll(): void {
    this.#isBroken = true;
    if (this.#open.size > 0) this.context.log(`${this.#open.size} sessions did not end in time and are broken off`);
    for (const { http2: session } of this.#open) session?.destroy();
  }

  #reserve({ name }: Protocol, { caller: { userId, address } }: Call): OpenSession {
    if (this.#isDraining) throw new Refusal(503, 'the server is about to end');
    const all = [...this.#open];
    const isFull = all.length >= sessionsMax || all.filter((each) => each.userId === userId).length >= sessionsPerUserMax;
    if (isFull || all.filter((each) => each.address === address).length >= sessionsPerAddressMax) throw new Refusal(503, 'there are too many sessions; try again later');
    const entry: OpenSession = { protocol: name, userId, address, over: deferred() };
    this.#open.add(entry);
    return entry;
  }

  #release(entry: OpenSession): void {
    this.#open.delete(entry);
    entry.over.resolve();
  }

  #take(entry: OpenSession, exchange: Exchange, session: UpgradedSession): void {
    const { metrics, log } = this.context;
    const labels = { protocol: entry.protocol };
    metrics.add('sessions_total', 1, labels);
    metrics.add('sessions', 1, labels);
    void this.#serve(entry, exchange, session)
      .catch((error: unknown) => log(`a ${entry.protocol} session of ${entry.userId} failed: ${messageOf(error)}`))
      .finally(() => {
        metrics.add('sessions', -1, labels);
        this.#release(entry);
      });
  }

  async #serve(entry: OpenSession, exchange: Exchange, session: UpgradedSession): Promise<void> {
    const socket = exchange.request.socket;
    let attached: ServerHttp2Session | undefined;
    try {
      exchange.release();
      await writeSwitch(socket, exchange.request.headers.upgrade ?? '');
      // A session attached while the 101 is under way would abort the process.
      attached = attach(socket, exchange.upgradeHead);
    } catch {
      socket.destroy();
    }
    if (attached === undefined) return await session.abandon();
    entry.http2 = attached;
    if (this.#isBroken) attached.destroy();
    const watch = destroyWhenBroken(attached, socket);
    await session.serve(attached);
    clearInterval(watch);
  }
}

function destroyWhenBroken(session: ServerHttp2Session, socket: Socket): NodeJS.Timeout {
  return setInterval(() => {
    if (isConnected(socket)) return;
    session.destroy();
    // The session would wait for it to end.
    socket.destroy();
  }, connectionCheckMs);
}

function deferred(): Deferred {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

function checkHeader({ id }: Protocol, { request, upgradeHead }: Exchange): void {
  if (request.httpVersionMajor !== 1) throw new Refusal(400, 'an upgrade needs HTTP/1.1');
  const { upgrade } = request.headers;
  if (upgrade === undefined) throw new Refusal(400, `the header 'upgrade: ${id}' is missing`);
  if (upgrade !== id) throw new Refusal(400, `the header 'upgrade' asks for another protocol than ${id}`);
  if (upgradeHead === undefined) throw new Refusal(400, "the header 'connection: upgrade' is missing");
}

function writeSwitch(socket: Duplex, id: string): Promise<void> {
  const head = `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${id}\r\ndate: ${new Date().toUTCString()}\r\n\r\n`;
  return new Promise((resolve, reject) => {
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.write(head, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}

function attach(socket: Duplex, head: Buffer | undefined): ServerHttp2Session {
  if (socket.destroyed) throw new Error('the connection was closed');
  if (head !== undefined && head.length > 0) socket.unshift(head);
  const session = http2.performServerHandshake(socket, { settings: sessionSettings, maxSessionMemory: sessionMemoryMax });
  session.setLocalWindowSize(connectionWindowBytes);
  return session;
}
