/** A datastore on our own server, asked through a connection that can be cut, with a record of what backup sessions send. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Parameter, Parameters, ProtocolSession, ServerApi, SessionRequest } from '../../src/store/remote/server-api.js';
import { RemoteDatastore } from '../../src/store/remote/remote-datastore.js';
import { openServer } from '../../src/store/remote/server.js';
import { password, startTestServer, type TestServer } from './protocol-server.js';

export interface Watched {
  readonly test: TestServer;
  readonly store: RemoteDatastore;
  /** `POST /fixed_chunk size=5 wid=1`, what was asked in backup sessions; `upgrade backup`. */
  readonly requests: string[];
  /** Called before each request of a backup session; may cut(). */
  before: (request: SessionRequest) => void;
  /** Ends all connections without a word. */
  readonly cut: () => void;
}

export async function watchedStore(options: { readonly directory?: string; readonly user?: string } = {}): Promise<Watched> {
  const test = await startTestServer(options.directory);
  const proxy = await cutProxy(test.port);
  const api = openServer(
    { authId: options.user ?? 'backup@pbs', host: '127.0.0.1', port: proxy.port, store: 'store1' },
    { environment: { PBS_PASSWORD: password, PATH: process.env['PATH'] }, fingerprint: test.fingerprint, timeoutMs: 20_000, warn: () => undefined },
  );
  const watched: Watched = { test, requests: [], before: () => undefined, cut: proxy.cut, store: undefined as never };
  const store = new RemoteDatastore({ api: watchedApi(api, watched), location: 'store1', timeoutMs: 20_000 });
  onTestFinished(() => store.close());
  return Object.assign(watched, { store });
}

function watchedApi(api: ServerApi, watched: Watched): ServerApi {
  return {
    repository: api.repository,
    call: api.call.bind(api),
    upload: api.upload.bind(api),
    download: api.download.bind(api),
    state: api.state.bind(api),
    close: api.close.bind(api),
    openSession: async (protocol, parameters, options) => {
      if (protocol === 'backup') watched.requests.push(`upgrade ${text(parameters)}`);
      const session = await api.openSession(protocol, parameters, options);
      return protocol === 'backup' ? watchedSession(session, watched) : session;
    },
  };
}

function watchedSession(session: ProtocolSession, watched: Watched): ProtocolSession {
  const note = (request: SessionRequest): void => {
    watched.requests.push(`${request.method} ${request.path} ${text(request.parameters ?? {})}`.trim());
    watched.before(request);
  };
  return {
    request: (request) => {
      note(request);
      return session.request(request);
    },
    call: (request) => {
      note(request);
      return session.call(request);
    },
    get isOpen() {
      return session.isOpen;
    },
    ended: session.ended,
    get roundTripMs() {
      return session.roundTripMs;
    },
    close: () => session.close(),
  };
}

function text(parameters: Parameters): string {
  const shown = (value: Parameter): string => (Array.isArray(value) ? `[${value.join(',')}]` : String(value));
  return Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${shown(value)}`)
    .join('&');
}

async function cutProxy(target: number): Promise<{ readonly port: number; readonly cut: () => void }> {
  const sockets = new Set<Socket>();
  const proxy = createServer((client) => {
    const server = connect(target, '127.0.0.1');
    for (const [from, to] of [[client, server], [server, client]] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  onTestFinished(() => {
    cut();
    proxy.close();
  });
  return { port: (proxy.address() as AddressInfo).port, cut };
}
