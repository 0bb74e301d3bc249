/** What roles allow, through logins, routes and upgrades. Format: protocol, appendix C.6. */
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { storePath } from '../support/fixtures.js';
import { emptyStore } from '../support/new-snapshots.js';
import { RawConnection, request, type RawAnswer } from '../support/raw-https.js';
import { serveStores } from '../support/served-stores.js';

const ids = { backup: 'proxmox-backup-protocol-v1', reader: 'proxmox-backup-reader-protocol-v1' } as const;
const base = '/api2/json/admin/datastore/store1';
const secret = '5d3f0c3e-8f0a-4a52-9f0e-1c8d3a6f2b11';
const roles = { reader: 'DatastoreReader', backup: 'DatastoreBackup', power: 'DatastorePowerUser', admin: 'DatastoreAdmin' } as const;

let port: number;
let time: number;

/** Groups `own` of backup@pbs and `token` of its token, `foreign` of another: each with one snapshot. */
function madeStore(): string {
  const store = emptyStore();
  const [name = ''] = readdirSync(join(storePath('vault'), 'host/secret')).filter((each) => each.endsWith('Z'));
  time = Date.parse(name) / 1000;
  for (const [group, owner] of [['own', 'backup@pbs'], ['token', 'backup@pbs!tok'], ['foreign', 'other@pbs']] as const) {
    const directory = join(store, 'host', group);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'owner'), `${owner}\n`);
    cpSync(join(storePath('vault'), 'host/secret', name), join(directory, name), { recursive: true });
  }
  return store;
}

beforeAll(async () => {
  const users = Object.entries(roles).map(([name, role]) => [`${name}@pbs`, { password: 'geheim', roles: { '/datastore/store1': role }, tokens: { tok: { secret, roles: { '/datastore/store1': role } } } }] as const);
  ({ port } = await serveStores({ stores: { store1: madeStore() }, users: { ...Object.fromEntries(users), 'nobody@pbs': { password: 'geheim' } } }));
});

const tickets = new Map<string, { ticket: string; csrf: string }>();

async function exchange(text: string): Promise<RawAnswer> {
  const connection = await RawConnection.open(port);
  connection.send(text);
  try {
    return await connection.answer();
  } finally {
    connection.close();
  }
}

async function headersOf(user: string): Promise<Record<string, string>> {
  let known = tickets.get(user);
  if (known === undefined) {
    const answer = await exchange(request('POST /api2/json/access/ticket', { 'content-type': 'application/json' }, JSON.stringify({ username: `${user}@pbs`, password: 'geheim' })));
    const { data } = JSON.parse(answer.body) as { data: { ticket: string; CSRFPreventionToken: string } };
    tickets.set(user, (known = { ticket: data.ticket, csrf: data.CSRFPreventionToken }));
  }
  return { cookie: `PBSAuthCookie=${known.ticket}`, csrfpreventiontoken: known.csrf };
}

async function call(user: string, line: string): Promise<RawAnswer> {
  return await exchange(request(line, await headersOf(user)));
}

async function statuses(user: string, calls: Readonly<Record<string, number>>): Promise<void> {
  const found: Record<string, number> = {};
  for (const line of Object.keys(calls)) found[line] = (await call(user, line)).status;
  expect(found).toEqual(calls);
}

async function upgrade(user: string, kind: 'backup' | 'reader', group: string, at: number): Promise<number> {
  const query = `store=store1&backup-type=host&backup-id=${group}&backup-time=${at}`;
  return (await exchange(request(`GET //api2/json/${kind}?${query}`, { ...(await headersOf(user)), connection: 'upgrade', upgrade: ids[kind] }))).status;
}

async function groupsOf(user: string): Promise<string[]> {
  const { data } = JSON.parse((await call(user, `GET ${base}/groups`)).body) as { data: { 'backup-id': string }[] };
  return data.map((group) => group['backup-id']).sort();
}

const snapshot = (group: string) => `backup-type=host&backup-id=${group}&backup-time=${time}`;

test('downloads have their parameters in the query, whatever type is told for a body that they do not have', async () => {
  for (const query of [`download?${snapshot('own')}&file-name=index.json.blob`, `download-decoded?${snapshot('own')}&file-name=index.json`, `pxar-file-download?${snapshot('own')}&filepath=Lw==`]) {
    const plain = await call('admin', `GET ${base}/${query}`);
    expect(plain.status).toBe(query.startsWith('pxar') ? 400 : 200);
    for (const type of ['application/json', 'application/octet-stream']) {
      const { status, body } = await exchange(request(`GET ${base}/${query}`, { ...(await headersOf('admin')), 'content-type': type }));
      expect([query, type, status, body]).toEqual([query, type, plain.status, plain.body]);
    }
  }
});

describe('what roles allow', () => {
  it('a reader: everything may be read, nothing else', async () => {
    expect(await groupsOf('reader')).toEqual(['foreign', 'own', 'token']);
    expect(await upgrade('reader', 'backup', 'new', time + 10)).toBe(403);
    for (const group of ['own', 'foreign', 'token']) expect(await upgrade('reader', 'reader', group, time)).toBe(101);
    await statuses('reader', {
      [`GET ${base}/status`]: 200,
      [`GET ${base}/snapshots`]: 200,
      [`GET ${base}/namespace`]: 200,
      [`GET ${base}/files?${snapshot('foreign')}`]: 200,
      [`DELETE ${base}/snapshots?${snapshot('own')}`]: 403,
      [`PUT ${base}/notes?${snapshot('own')}&notes=x`]: 403,
      [`POST ${base}/namespace?name=abc`]: 403,
      [`POST ${base}/gc`]: 403,
    });
  });

  it.each(['GET', 'POST'])('%s of garbage collection refuses late', async (method) => {
    await headersOf('backup');
    const started = performance.now();
    expect((await call('backup', `${method} ${base}/gc`)).status).toBe(403);
    expect(performance.now() - started).toBeGreaterThanOrEqual(500);
  });

  it('who may back up: what is their own', async () => {
    expect(await groupsOf('backup')).toEqual(['own', 'token']);
    expect(await upgrade('backup', 'backup', 'foreign', time + 10)).toBe(400);
    expect(await upgrade('backup', 'backup', 'fresh', time + 10)).toBe(101);
    expect([await upgrade('backup', 'reader', 'own', time), await upgrade('backup', 'reader', 'foreign', time)]).toEqual([101, 400]);
    await statuses('backup', {
      [`GET ${base}/status`]: 200,
      [`GET ${base}/files?${snapshot('own')}`]: 200,
      [`GET ${base}/files?${snapshot('foreign')}`]: 400,
      [`PUT ${base}/notes?${snapshot('own')}&notes=x`]: 200,
      [`PUT ${base}/notes?${snapshot('foreign')}&notes=x`]: 400,
      [`DELETE ${base}/snapshots?${snapshot('own')}`]: 403,
      [`POST ${base}/prune?backup-type=host&backup-id=own&keep-last=1`]: 403,
    });
    const started = performance.now();
    expect((await call('backup', `POST ${base}/change-owner?backup-type=host&backup-id=foreign&new-owner=backup%40pbs`)).status).toBe(401);
    expect(performance.now() - started).toBeGreaterThanOrEqual(3000);
  });

  it('who has no role: a login, and nothing else', async () => {
    expect([await upgrade('nobody', 'reader', 'own', time), await upgrade('nobody', 'backup', 'own', time + 10)]).toEqual([400, 403]);
    await statuses('nobody', { [`GET ${base}/snapshots`]: 403, [`GET ${base}/groups`]: 403, [`GET ${base}/status`]: 403, [`GET ${base}/namespace`]: 403, 'GET /api2/json/version': 200 });
    expect((await call('nobody', 'GET /api2/json/admin/datastore')).body).toBe('{"data":[]}');
  });

  it('a power user: their own may go; an administrator: all may', async () => {
    await statuses('power', { [`DELETE ${base}/snapshots?${snapshot('foreign')}`]: 400, [`POST ${base}/prune?backup-type=host&backup-id=foreign&keep-last=1&dry-run=1`]: 400 });
    await statuses('admin', { [`POST ${base}/prune?backup-type=host&backup-id=foreign&keep-last=1&dry-run=1`]: 200, [`DELETE ${base}/snapshots?${snapshot('foreign')}`]: 200, [`POST ${base}/namespace?name=abc`]: 200 });
  });

  it('tasks: of their own, and of their tokens', async () => {
    const listed = async (user: string): Promise<string[]> => {
      const { data } = JSON.parse((await call(user, 'GET /api2/json/nodes/localhost/tasks?limit=0')).body) as { data: { user: string; upid: string }[] };
      return data.map(({ upid }) => upid);
    };
    const [mine = ''] = await listed('backup');
    expect(mine).toContain(':backup@pbs:');
    expect(await listed('nobody')).toEqual([]);
    const path = `/api2/json/nodes/localhost/tasks/${[...mine].map((character) => `%${character.charCodeAt(0).toString(16)}`).join('')}`;
    expect(JSON.parse((await call('backup', `GET ${path}/status`)).body)).toMatchObject({ data: { upid: mine, user: 'backup@pbs', status: 'stopped' } });
    const log = await call('backup', `GET ${path}/log?start=1&limit=500&test-status=true`);
    expect(log.headers['content-type']).toBe('application/json');
    expect(JSON.parse(log.body)).toMatchObject({ active: false, success: 1, data: expect.arrayContaining([{ n: 1, t: expect.any(String) }]) });
    await statuses('nobody', { [`GET ${path}/log`]: 403, [`GET ${path}/status`]: 403, [`DELETE ${path}`]: 403, 'GET /api2/json/nodes/localhost/tasks/nonsense/status': 400 });
    await statuses('backup', { [`DELETE ${path}`]: 200 });
  });
});
