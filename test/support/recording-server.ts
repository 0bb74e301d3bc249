/**
 * A server of one datastore as the protocol's recordings have it, over real TLS and HTTP/2: listings and reader sessions of a local store. It records
 * what it is asked, and can be slow, lose its connections, go away and come back. Format: protocol, sections 5, 8, 9 and 11.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { decodeBlob } from '../../src/codec/blob-decoder.js';
import { codeOf } from '../../src/errors.js';
import { archiveKind, manifestFileName } from '../../src/format/archive-name.js';
import { parseDynamicIndex } from '../../src/format/dynamic-index.js';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import { parseManifest } from '../../src/format/manifest.js';
import { formatNamespace, parseNamespace, type Namespace } from '../../src/format/namespace.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { snapshotPath, type BackupType, type SnapshotName } from '../../src/format/snapshot-name.js';
import { loadZstd } from '../../src/os/zstd/zstd.js';
import type { RemovedCounts } from '../../src/store/administration.js';
import type { Datastore } from '../../src/store/datastore.js';
import { openLocalDatastore } from '../../src/store/local/local-datastore.js';
import type { OpenOptions } from '../../src/store/open-options.js';
import { selfSignedCertificate, type Certificate } from './certificate.js';

export const storeName = 'store1';

let certificate: Certificate | undefined;

function madeCertificate(): Certificate {
  return (certificate ??= selfSignedCertificate());
}

class Refused extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

const listed = new Set(['status', 'namespace', 'groups', 'snapshots']);

type Query = URLSearchParams;
type Handler = (query: Query, body: Buffer) => unknown;

export class RecordingServer {
  /** `GET /admin/datastore/store1/groups?...`, `reader vm/100/...`, `download a.fidx`, `chunk`. */
  readonly requests: string[] = [];
  /** In place of what the store has: by method and path from the datastore on, `GET groups`. */
  readonly answers = new Map<string, Handler>();
  /** Calls of a datastore that it does not know, as if it were older: `namespace`. */
  readonly lacks = new Set<string>();
  /** By UPID. */
  readonly tasks = new Map<string, { readonly status: () => object; readonly lines: readonly string[] }>();
  /** Whether files come without a session too. */
  hasDownload = true;
  /** As version 3.2: it does not tell what it has removed. */
  isOld = false;
  /** Reader sessions are refused, with this text. */
  refusesReaders: string | undefined;
  /** Before each chunk. */
  chunkDelayMs = 0;
  /** Chunks that are refused as not allowed, though they are. */
  forgets = 0;
  readonly path: string;
  readonly #store: Datastore;
  readonly #sockets = new Set<Socket>();
  readonly #held = new Map<string, number>();
  #server: Server | undefined;
  #port = 0;

  private constructor(path: string, store: Datastore) {
    this.path = path;
    this.#store = store;
  }

  /** Of the datastore in `path`. */
  static async start(path: string): Promise<RecordingServer> {
    const server = new RecordingServer(path, await openLocalDatastore(path));
    await server.listen();
    return server;
  }

  get repository(): { authId: string; host: string; port: number; store: string } {
    return { authId: 'backup@pbs', host: '127.0.0.1', port: this.#port, store: storeName };
  }

  options(more: Partial<OpenOptions> = {}): OpenOptions {
    return { environment: { PBS_PASSWORD: 'secret', PATH: process.env['PATH'] }, fingerprint: madeCertificate().fingerprint, warn: () => undefined, ...more };
  }

  /** Again, at the same port. */
  async listen(): Promise<void> {
    const { key, cert } = madeCertificate();
    const server = createServer({ key, cert }, (request, response) => void this.#answer(request, response));
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => void this.#upgrade(request, socket, head));
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Connections end, and come again if they want. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** As long as listen() is not called there is no server. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    this.dropConnections();
    await closed;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#store.close();
  }

  /** Reader sessions of a snapshot that are open. */
  readersOf(snapshot: string): number {
    return this.#held.get(snapshot) ?? 0;
  }

  counted(begin: string): number {
    return this.requests.filter((line) => line.startsWith(begin)).length;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const [path = '', text = ''] = (request.url ?? '').replace(/^\/+/, '/').split('?', 2);
    this.requests.push(`${request.method} ${path.replace('/api2/json', '')}${text === '' ? '' : `?${text}`}`);
    try {
      if (path === `/api2/json/admin/datastore/${storeName}/download` && this.hasDownload) {
        const query = new URLSearchParams(text);
        const bytes = readFileSync(join(this.path, snapshotPath(snapshotOf(query)), query.get('file-name') ?? ''));
        response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(bytes);
        return;
      }
      const data = await this.#data(request.method ?? '', path, new URLSearchParams(text), Buffer.concat(parts));
      response.writeHead(200, { 'content-type': 'application/json;charset=UTF-8' }).end(JSON.stringify({ data }));
    } catch (error) {
      const status = error instanceof Refused ? error.status : 400;
      response.writeHead(status, { 'content-type': 'application/json;charset=UTF-8' }).end(error instanceof Error ? error.message : 'failed');
    }
  }

  async #data(method: string, path: string, query: Query, body: Buffer): Promise<unknown> {
    if (path === '/api2/json/access/ticket') {
      return { username: 'backup@pbs', ticket: 'PBS:backup@pbs:00000000::x', CSRFPreventionToken: '00000000:x' };
    }
    if (path === '/api2/json/admin/datastore') return [{ store: storeName }, { store: 'other' }];
    const [, upid, about = ''] = /^\/api2\/json\/nodes\/localhost\/tasks\/([A-Za-z0-9%]+)(?:\/(log|status))?$/.exec(path) ?? [];
    if (upid !== undefined) return this.#task(decodeURIComponent(upid), about, query);
    const [, store, what = ''] = /^\/api2\/json\/admin\/datastore\/([^/]+)\/([a-z-]+)$/.exec(path) ?? [];
    if (store !== storeName) throw new Refused(400, `no such datastore '${store}'`);
    if (this.lacks.has(what)) throw new Refused(404, 'Path not found');
    const answer = this.answers.get(`${method} ${what}`);
    if (answer !== undefined) return await answer(query, body);
    if (method !== 'GET' || !listed.has(what)) return await this.#administered(`${method} ${what}`, query, body);
    const namespace = parseNamespace(query.get('ns') ?? '');
    if (what === 'status') return { total: 1000, used: 400, avail: 600 };
    if (what === 'namespace') return await this.#namespaces(parseNamespace(query.get('parent') ?? ''));
    if (what === 'groups') return await this.#groups(namespace);
    return await this.#snapshots(namespace);
  }

  /** By the administration of the local store: what goes wrong becomes a refusal in words. */
  async #administered(call: string, query: Query, body: Buffer): Promise<unknown> {
    const sent = body.length > 0 && body[0] === 0x7b ? (JSON.parse(body.toString()) as Record<string, string | number | boolean>) : Object.fromEntries(query);
    const text = (name: string): string => String(sent[name] ?? '');
    const namespace = parseNamespace(text('ns'));
    const group = { namespace, type: text('backup-type') as BackupType, id: text('backup-id') };
    const snapshot = { ...group, time: Number(text('backup-time')) };
    const administration = await this.#store.administration(() => undefined);
    const counts = ({ groups, snapshots, protectedSnapshots }: RemovedCounts): unknown =>
      this.isOld ? null : { 'removed-groups': groups, 'removed-snapshots': snapshots, 'protected-snapshots': protectedSnapshots };
    const calls: Record<string, () => Promise<unknown>> = {
      'GET notes': () => administration.notes(snapshot),
      'GET group-notes': () => administration.notes(group),
      'PUT notes': () => administration.setNotes(snapshot, text('notes')),
      'PUT group-notes': () => administration.setNotes(group, text('notes')),
      'PUT protected': () => administration.setProtected(snapshot, text('protected') === 'true'),
      'DELETE snapshots': async () => {
        if (this.readersOf(snapshotPath(snapshot)) > 0) throw new Refused(400, 'snapshot is in use');
        await administration.removeSnapshot(snapshot);
      },
      'DELETE groups': async () => counts(await administration.removeGroup(group)),
      'DELETE namespace': async () => counts(await administration.removeNamespace(namespace, { withGroups: text('delete-groups') === 'true' })),
      'POST change-owner': () => administration.changeOwner(group, text('new-owner')),
      'POST upload-backup-log': () => administration.writeLog({ ...snapshot, ...snapshotOf(query) }, body),
      'POST prune': async () => {
        const keep = Object.fromEntries(Object.entries(sent).flatMap(([name, value]) => (name.startsWith('keep-') ? [[name.slice(5), Number(value)]] : [])));
        const decisions = await administration.prune(group, keep, { dryRun: text('dry-run') === 'true' });
        return decisions.map((each) => ({ 'backup-type': group.type, 'backup-id': group.id, 'backup-time': each.snapshot.time, keep: each.keep, protected: each.protected }));
      },
    };
    const run = calls[call];
    if (run === undefined) throw new Refused(404, 'Path not found');
    return (await run()) ?? null;
  }

  #task(upid: string, about: string, query: Query): unknown {
    const task = this.tasks.get(upid);
    if (task === undefined) throw new Refused(404, 'no such task');
    if (about === '') return null;
    const start = Number(query.get('start')) - 1;
    return about === 'status' ? task.status() : task.lines.slice(start, start + Number(query.get('limit'))).map((t, i) => ({ n: start + i + 1, t }));
  }

  async #namespaces(parent: Namespace): Promise<object[]> {
    const children = await this.#store.namespaces(parent).catch((): readonly string[] => []);
    return [{ ns: formatNamespace(parent) }, ...children.toReversed().map((name) => ({ ns: formatNamespace([...parent, name]) }))];
  }

  async #groups(namespace: Namespace): Promise<object[]> {
    const groups = await this.#store.groups(namespace).catch(() => Promise.reject(new Refused(400, 'namespace not found')));
    const rows = groups.map(async (group) => {
      const { owner, notes } = await this.#store.groupFacts(group);
      const comment = notes === undefined ? undefined : /^[^\n]*\n?/.exec(notes)?.[0];
      return { 'backup-type': group.type, 'backup-id': group.id, 'last-backup': 0, 'backup-count': 0, files: [], owner, comment };
    });
    return (await Promise.all(rows)).reverse();
  }

  async #snapshots(namespace: Namespace): Promise<object[]> {
    const rows: object[] = [];
    const groups = await this.#store.groups(namespace).catch(() => Promise.reject(new Refused(400, 'namespace not found')));
    for (const group of groups) {
      for (const snapshot of (await this.#store.snapshots(group)).toReversed()) rows.push(await this.#row(snapshot));
    }
    return rows;
  }

  async #row(snapshot: SnapshotName): Promise<object> {
    const facts = await this.#store.snapshotFacts(snapshot);
    const name = { 'backup-type': snapshot.type, 'backup-id': snapshot.id, 'backup-time': snapshot.time, protected: facts.protected };
    const sizes = new Map(facts.files.map((file) => [file.name, file.size]));
    const bare = facts.files.map((file) => ({ filename: file.name }));
    if (!facts.finished) return { ...name, files: bare };
    try {
      const manifest = parseManifest(decodeBlob(await this.#store.blob(snapshot, manifestFileName), await loadZstd(), undefined));
      const listed = manifest.files.map(({ filename, size, cryptMode }) => ({ filename, size, 'crypt-mode': cryptMode }));
      const names = new Set(listed.map(({ filename }) => filename));
      const own = { filename: manifestFileName, 'crypt-mode': 'none', size: sizes.get(manifestFileName) };
      const others = bare.filter(({ filename }) => filename !== manifestFileName && !names.has(filename));
      return { ...name, files: [...listed, own, ...others], comment: manifest.unprotected.notes?.split('\n', 1)[0], owner: 'root@pam' };
    } catch {
      return { ...name, files: bare };
    }
  }

  async #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const query = new URLSearchParams((request.url ?? '').split('?', 2)[1]);
    const snapshot = snapshotOf(query);
    const path = snapshotPath(snapshot);
    this.requests.push(`reader ${path}`);
    const refusal = this.refusesReaders ?? (query.get('store') === storeName ? await this.#store.snapshotFacts(snapshot).then(() => undefined, () => 'snapshot does not exist') : 'no such datastore');
    if (refusal !== undefined) {
      socket.end(`HTTP/1.1 400 Bad Request\r\ncontent-type: application/json;charset=UTF-8\r\ncontent-length: ${refusal.length}\r\n\r\n${refusal}`);
      return;
    }
    if (head.length > 0) socket.unshift(head);
    const id = 'proxmox-backup-reader-protocol-v1';
    await new Promise<void>((resolve) => socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${id}\r\n\r\n`, () => {
      setImmediate(resolve);
    }));
    const session = performServerHandshake(socket, { settings: { initialWindowSize: 32 << 20, maxFrameSize: 4 << 20 } });
    this.#serve(session, path);
  }

  #serve(session: ServerHttp2Session, snapshot: string): void {
    const allowed = new Set<string>();
    this.#held.set(snapshot, this.readersOf(snapshot) + 1);
    session.on('close', () => this.#held.set(snapshot, this.readersOf(snapshot) - 1));
    session.on('error', () => undefined);
    session.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('error', () => undefined);
      void this.#file(String(headers[':path']), snapshot, allowed).then(
        (bytes) => {
          if (stream.destroyed) return;
          stream.respond({ ':status': 200, 'content-type': 'application/octet-stream' });
          stream.end(bytes);
        },
        (error: unknown) => {
          if (stream.destroyed) return;
          const missing = codeOf(error) === 'ENOENT' ? 404 : 400;
          stream.respond({ ':status': error instanceof Refused ? error.status : missing });
          stream.end(error instanceof Error ? error.message : 'failed');
        },
      );
    });
  }

  async #file(path: string, snapshot: string, allowed: Set<string>): Promise<Buffer> {
    const [name, text] = path.split('?', 2);
    const query = new URLSearchParams(text);
    if (name === '/chunk') {
      const digest = query.get('digest') ?? '';
      this.requests.push(`chunk ${digest}`);
      await delay(this.chunkDelayMs);
      if (!allowed.has(digest) || this.forgets-- > 0) throw new Refused(401, 'download chunk not allowed');
      return readFileSync(join(this.path, chunkPath(Buffer.from(digest, 'hex'))));
    }
    const file = query.get('file-name') ?? '';
    this.requests.push(`download ${snapshot}/${file}`);
    const bytes = readFileSync(join(this.path, snapshot, file));
    const kind = archiveKind(file);
    if (kind === 'blob') return bytes;
    const index = kind === 'fixed' ? parseFixedIndex(bytes) : parseDynamicIndex(bytes);
    for (let n = 0; n < index.count; n++) allowed.add(index.digestAt(n).toString('hex'));
    return bytes;
  }
}

function snapshotOf(query: Query): SnapshotName {
  return {
    namespace: parseNamespace(query.get('ns') ?? ''),
    type: query.get('backup-type') as BackupType,
    id: query.get('backup-id') ?? '',
    time: Number(query.get('backup-time')),
  };
}
