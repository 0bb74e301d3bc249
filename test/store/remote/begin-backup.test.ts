/** How a backup session of a server begins and ends where the server says little: one that is made up answers as real ones do. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { encodeBlob } from '../../../src/codec/blob-encoder.js';
import { StoreError } from '../../../src/errors.js';
import { encodeManifest } from '../../../src/format/manifest.js';
import type { JsonValue } from '../../../src/format/json.js';
import { RemoteDatastore } from '../../../src/store/remote/remote-datastore.js';
import type { ProtocolSession, ServerApi, SessionRequest } from '../../../src/store/remote/server-api.js';
import { ServerRefusal } from '../../../src/store/remote/server-refusal.js';
import { outcomeOf } from '../../support/outcome.js';

const time = 1_700_000_000;
const snapshot = { namespace: [], type: 'host', id: 'web', time } as const;
const manifest = encodeBlob(encodeManifest({ backupType: 'host', backupId: 'web', backupTime: time - 100, files: [], signature: undefined, unprotected: {} }), {});

const refused = (status: number, text: string): ServerRefusal =>
  new ServerRefusal(status, text, status === 404 ? 'NOT_FOUND' : status === 403 ? 'NO_PERMISSION' : 'REFUSED', `made.up: ${text}`);

/** Gives the answer, or throws it. */
type Answer<T> = () => T | Promise<T>;

interface Answers {
  /** By method and path in the session. */
  readonly session: Record<string, Answer<JsonValue | Buffer>>;
  /** By the last word of the path. */
  readonly calls: Record<string, Answer<JsonValue>>;
  readonly backup: Answer<undefined>;
  readonly reader: Answer<Buffer>;
}

interface Made {
  readonly store: RemoteDatastore;
  /** Whether the connection of the backup session is closed. */
  readonly isClosed: () => boolean;
  /** What was asked in sessions. */
  readonly asked: string[];
}

function made(answers: Partial<Answers>): Made {
  const asked: string[] = [];
  let end: ((reason: Error | undefined) => void) | undefined;
  let isClosed = false;
  const sessionOf = (answer: (name: string) => Promise<JsonValue | Buffer>): ProtocolSession => {
    const ended = new Promise<Error | undefined>((resolve) => (end = resolve));
    const closed = ended.then(() => Promise.reject(new StoreError('CLOSED', 'closed')));
    closed.catch(() => undefined);
    const ask = async ({ method, path }: SessionRequest): Promise<JsonValue | Buffer> => {
      asked.push(`${method} ${path}`);
      return await Promise.race([answer(`${method} ${path}`), closed]);
    };
    return {
      request: async (request) => new Uint8Array((await ask(request)) as Buffer),
      call: async (request) => (await ask(request)) as JsonValue,
      isOpen: true,
      ended,
      roundTripMs: 1,
      close: () => {
        isClosed = true;
        end?.(undefined);
      },
    };
  };
  const listed: Record<string, Answer<JsonValue>> = {
    datastore: () => [{ store: 'store1', comment: null }],
    groups: () => [{ 'backup-type': 'host', 'backup-id': 'web', owner: 'backup@pbs', files: [] }],
    snapshots: () => [],
    ...answers.calls,
  };
  const usual: Record<string, Answer<JsonValue | Buffer>> = { 'GET /previous_backup_time': () => null, 'POST /blob': () => Buffer.alloc(0), ...answers.session };
  const api: ServerApi = {
    repository: { authId: 'backup@pbs', host: 'made.up', port: 8007, store: 'store1' },
    call: async (_method, path) => await (listed[path.split('/').at(-1) ?? ''] ?? (() => Promise.reject(refused(404, 'Path not found'))))(),
    upload: () => Promise.reject(refused(404, 'Path not found')),
    // As a real one, which asks for no lock.
    download: () => Promise.resolve(manifest),
    openSession: async (protocol) => {
      if (protocol === 'reader') {
        const blob = await (answers.reader ?? (() => manifest))();
        return sessionOf(() => Promise.resolve(blob));
      }
      await answers.backup?.();
      return sessionOf(async (name) => await (usual[name] ?? (() => Promise.reject(refused(400, `no ${name}`))))());
    },
    state: () => ({ connected: true, lastError: undefined, since: 0, reconnections: 0, sessions: 1, roundTripMs: 1 }),
    close: () => Promise.resolve(),
  };
  const store = new RemoteDatastore({ api, location: 'store1', timeoutMs: 5000 });
  onTestFinished(() => store.close());
  return { store, isClosed: () => isClosed, asked };
}

describe('a refused session is explained:', () => {
  const backup = (): never => {
    throw refused(400, 'what the server says');
  };
  const maintained = { datastore: () => [{ store: 'other' }, { store: 'store1', comment: null, maintenance: 'read-only' }] };

  test.each<[string, Partial<Answers>['calls'] & object, RegExp]>([
    ['another backup runs, most likely', {}, /^LOCKED .*another backup/],
    ['the group is not shown', { groups: () => [] }, /^NOT_OWNER .*not shown/],
    ['of another user', { groups: () => [{ 'backup-type': 'host', 'backup-id': 'web', owner: 'other@pbs', files: [] }] }, /^NOT_OWNER .*belongs to other@pbs/],
    ['maintenance, in the words of the server', maintained, /^REFUSED made\.up: what the server says$/],
    ['maintenance, and a group that is not there yet', { ...maintained, groups: () => [] }, /^REFUSED made\.up: what the server says$/],
    ['nobody says whether it is maintenance', { datastore: () => Promise.reject(refused(403, 'no')) }, /^LOCKED /],
  ])('%s', async (_name, calls, expected) => {
    const { store } = made({ backup, calls });
    expect(await outcomeOf(store.beginBackup({ snapshot, key: undefined, owner: undefined, warn: () => undefined }))).toMatch(expected);
  });
});

describe('the previous snapshot', () => {
  const old = { 'GET /previous_backup_time': () => Promise.reject(refused(404, 'no such path')) };

  test.each<[string, Answers['session'], number | undefined, RegExp]>([
    ['is none', {}, undefined, /^$/],
    ['is the one of the time that the server says', { 'GET /previous_backup_time': () => time - 100, 'GET /previous': () => manifest }, time - 100, /^$/],
    ['is none without its manifest', { 'GET /previous_backup_time': () => time - 100 }, undefined, /can't be read, so that nothing of it is reused/],
    ['is the one of the manifest, where the server does not say the time', { ...old, 'GET /previous': () => manifest }, time - 100, /^$/],
    ['is none, where it says neither', old, undefined, /^$/],
  ])('%s', async (_name, session, expected, line) => {
    const lines: string[] = [];
    const { store } = made({ session });
    const begun = await store.beginBackup({ snapshot, key: undefined, owner: undefined, warn: (each) => lines.push(each) });
    onTestFinished(() => begun.abort());
    expect(begun.previous?.time).toBe(expected);
    expect(lines.join('\n')).toMatch(line);
  });
});

describe('an interrupt while it begins ends it at once', () => {
  const never = (): Promise<never> => new Promise(() => undefined);
  const known = { 'GET /previous_backup_time': () => time - 100, 'GET /previous': () => manifest };

  test.each<[string, Partial<Answers>]>([
    ['the time of the previous snapshot', { session: { 'GET /previous_backup_time': never } }],
    ['its manifest', { session: { ...known, 'GET /previous': never } }],
    ['the owner', { session: known, calls: { groups: never } }],
  ])('waiting for %s', async (_name, answers) => {
    const { store, isClosed } = made(answers);
    const controller = new AbortController();
    const beginning = outcomeOf(store.beginBackup({ snapshot, key: undefined, owner: undefined, warn: () => undefined, signal: controller.signal }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    controller.abort();
    expect(await beginning).toMatch(/^INTERRUPTED /);
    expect(isClosed()).toBe(true);
  });
});

describe('the answer to the end is lost:', () => {
  const row = (files: readonly string[]): JsonValue => ({ 'backup-type': 'host', 'backup-id': 'web', 'backup-time': time, protected: false, files: files.map((filename) => ({ filename })) });
  const whole = [row(['index.json.blob'])];

  /** What follows comes once each, the last again and again. */
  function turns<T>(...answers: readonly Answer<T>[]): Answer<T> {
    let turn = 0;
    return () => (answers[Math.min(turn++, answers.length - 1)] as Answer<T>)();
  }
  const locked = (): never => {
    throw refused(400, 'snapshot is locked');
  };

  test.each<[string, Partial<Answers>, RegExp]>([
    ['there, when the server gives it to read', { reader: turns(locked, locked, () => manifest), calls: { snapshots: () => whole } }, /^done$/],
    ['removed, after it was locked with its manifest', { reader: locked, calls: { snapshots: turns<JsonValue>(() => whole, () => whole, () => []) } }, /^UNREACHABLE .*Nothing is left/],
    ['not listed', { reader: locked }, /^UNREACHABLE .*Nothing is left/],
    ['removed between the lock and the manifest', { reader: turns<Buffer>(() => Promise.reject(refused(404, 'no such file'))) }, /^UNREACHABLE .*Nothing is left/],
  ])('%s', async (_name, answers, expected) => {
    const lines: string[] = [];
    const { store } = made({ ...answers, session: { 'POST /finish': () => Promise.reject(new StoreError('UNREACHABLE', 'cut')) } });
    const session = await store.beginBackup({ snapshot, key: undefined, owner: undefined, warn: (line) => lines.push(line) });
    onTestFinished(() => session.abort());
    expect(await outcomeOf(session.finish(manifest))).toMatch(expected);
    expect(lines.filter((line) => line.includes('has all of'))).toHaveLength(expected.test('done') ? 1 : 0);
  });
});
