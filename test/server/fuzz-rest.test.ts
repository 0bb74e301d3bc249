/** Requests of the JSON API at random: whatever comes is answered, nothing but the datastore changes, and the server goes on. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { SnapshotName } from '../../src/format/snapshot-name.js';
import { accessEndpoints } from '../../src/server/endpoints/access.js';
import { generalEndpoints } from '../../src/server/endpoints/general.js';
import { taskEndpoints } from '../../src/server/endpoints/tasks.js';
import { datastoreEndpoints } from '../../src/server/datastore/endpoints.js';
import type { Endpoint, ParameterSpec } from '../../src/server/endpoint.js';
import type { Authenticator } from '../../src/server/access/authenticator.js';
import { TaskList } from '../../src/server/task-list.js';
import { openStore } from '../support/new-snapshots.js';
import { password, startServerProcess } from '../support/protocol-server.js';
import { Random, seed as firstSeed } from '../support/random.js';
import { ask, RawConnection, request } from '../support/raw-https.js';
import { copyOfStore } from '../support/scratch.js';

const durationMs = Number(process.env['PBSFS_FUZZ_MS'] ?? 12_000);
const lanes = 10;
const answerMsMax = 30_000;
const memoryBytesMax = 700 << 20;
const statuses = new Set([101, 200, 400, 401, 403, 404, 405, 408, 413, 414, 417, 429, 431, 501, 503]);

/** Of the kinds that the server has. */
const endpoints: readonly Pick<Endpoint, 'method' | 'path' | 'parameters'>[] = [...datastoreEndpoints, ...generalEndpoints, ...taskEndpoints(new TaskList()), ...accessEndpoints({} as Authenticator)];

type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

const oddTexts = ['', '.', '..', '../canary', '/etc/passwd', '..%2f..%2fcanary', 'a\0b', '\u{1f4a9}', ' ', 'a'.repeat(5000), '-1', '1e308', '0x10', 'true', '__proto__', 'constructor', 'toString', 'root', '%', '%zz', "'", '"', '\\', '\r\nx: y', 'L2V0Yw==', 'Li4vLi4vY2FuYXJ5'];
const oddPaths = ['/', '//', '/api2', '/api2/json', '/api2/json/', '/api2/json/../../canary', '/api2/json/%2e%2e/%2e%2e/canary', '/api2/json/a%00b', '/api2/json/%', '/api2/json/%ff', '/../../../etc/passwd', '*', 'x', 'https://example/api2/json/version', `/${'a/'.repeat(2000)}`, `/api2/json/${'a'.repeat(20_000)}`, '/api2/json/version?' + 'a=1&'.repeat(600), '/api2/json/version#x', '/api2/json/version?a=%', '/api2/json/admin/datastore/__proto__/status', '/api2/json/nodes/localhost/tasks/UPID%3Ax/log', '/api2/json/backup?store=store1', '/api2/json/reader'];
const oddHeaders: readonly (readonly [string, string])[] = [
  ['cookie', 'PBSAuthCookie=%'],
  ['cookie', `PBSAuthCookie=${'A'.repeat(20_000)}`],
  ['cookie', ';;;=;=a;__Host-PBSAuthCookie='],
  ['cookie', 'PBSAuthCookie=PBS:admin@pbs:FFFFFFFF::'],
  ['content-type', 'text/plain'],
  ['content-type', 'application/json; charset=klingon'],
  ['content-type', `application/json;${' '.repeat(3000)}`],
  ['content-length', '-1'],
  ['content-length', '99999999999999999999'],
  ['transfer-encoding', 'chunked'],
  ['transfer-encoding', 'gzip, chunked'],
  ['expect', '100-continue'],
  ['expect', 'a miracle'],
  ['range', 'bytes=0-1'],
  ['upgrade', 'proxmox-backup-protocol-v1'],
  ['upgrade', 'proxmox-backup-reader-protocol-v1'],
  ['upgrade', 'h2c, websocket'],
  ['connection', 'upgrade'],
  ['connection', 'close'],
  ['host', 'a b'],
  ['x-long', 'x'.repeat(9000)],
  ['x-odd', '\u0001\u007f\u00ff'],
];

class Requests {
  readonly #random: Random;

  constructor(seed: number, private readonly snapshots: readonly SnapshotName[], private readonly login: Readonly<Record<string, string>>) {
    this.#random = new Random(seed);
  }

  chance(of: number): boolean {
    return this.#random.below(of) === 0;
  }

  pick<T>(values: readonly T[]): T {
    return this.#random.pick(values);
  }

  next(): string {
    const endpoint = this.pick(endpoints);
    const values = this.#values(endpoint);
    const method = this.chance(12) ? this.pick(['HEAD', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT', 'get', 'PUT', 'POST', 'DELETE']) : endpoint.method;
    const path = this.chance(8) ? this.pick(oddPaths) : this.#path(endpoint.path, values);
    const headers: [string, string][] = [['host', 'pbs.example:8007'], ...Object.entries(this.#login())];
    const isQuery = method === 'GET' || this.chance(3);
    const body = isQuery ? undefined : this.#body(values, headers);
    for (let odd = this.chance(4) ? 1 + this.#random.below(3) : 0; odd > 0; odd--) headers.push([...this.pick(oddHeaders)]);
    if (this.chance(60)) for (let i = 0; i < 200; i++) headers.push([`x-${i}`, 'y']);
    if (body !== undefined) headers.push(['content-length', String(this.chance(20) ? this.#random.below(2 * body.length + 2) : body.length)]);
    const query = isQuery && Object.keys(values).length > 0 ? `?${queryOf(values)}` : '';
    return `${method} ${path}${query} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body?.toString('latin1') ?? ''}`;
  }

  /** Few without one: those are answered late. */
  #login(): Readonly<Record<string, string>> {
    return this.chance(40) ? {} : this.login;
  }

  #values({ parameters }: Pick<Endpoint, 'parameters'>): Record<string, Json> {
    const { type, id, time, namespace } = this.pick(this.snapshots);
    const good: Record<string, Json> = { store: 'store1', 'backup-type': type, 'backup-id': id, 'backup-time': time, filepath: this.pick(['root', '/', 'cm9vdC5weGFyLmRpZHg=', 'L3Jvb3QucHhhci5kaWR4L2V0Yw==']), 'file-name': this.pick(['root.pxar.didx', 'index.json.blob', 'drive-scsi0.img.fidx']), 'dry-run': true };
    if (namespace.length > 0 || this.chance(4)) good['ns'] = namespace.join('/');
    const values: Record<string, Json> = {};
    for (const [name, spec] of Object.entries(parameters)) {
      const known = good[name];
      if (spec.optional === true && known === undefined && !this.chance(3)) continue;
      values[name] = known === undefined || this.chance(6) ? this.#odd(spec) : known;
    }
    if (this.chance(15)) delete values[this.pick(Object.keys(values).length > 0 ? Object.keys(values) : [''])];
    if (this.chance(15)) values[this.pick(['strange', '__proto__', '', 'store', 'a'.repeat(1000)])] = this.pick(oddTexts);
    return values;
  }

  #odd({ kind }: ParameterSpec): Json {
    if (this.chance(3)) return this.pick<Json>([null, [], {}, [[[]]], { a: { b: 1 } }, 1.5, -1, 1e308, 2 ** 53, true, [null, 'a']]);
    if (kind === 'boolean') return this.pick<Json>(['1', '0', 'yes', 'TRUE', true, 'maybe']);
    if (kind === 'integer' || kind === 'integers') return this.pick<Json>([0, 1, 7, '8', '-0', '1e3', '99999999999999999999999', 253_402_300_800]);
    return this.pick(oddTexts);
  }

  #path(template: string, values: Record<string, Json>): string {
    const path = template.replace(/\{(\w+)\}/g, (_, name: string) => {
      const { [name]: value = 'x' } = values;
      delete values[name];
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      return this.chance(10) ? text.replace(/[\r\n \0]/g, '_') : encodeURIComponent(text);
    });
    return `${this.chance(30) ? '//api2//json' : '/api2/json'}${path}${this.chance(30) ? '/' : ''}`;
  }

  #body(values: Record<string, Json>, headers: [string, string][]): Buffer {
    const type = this.pick(['application/json', 'application/json', 'application/x-www-form-urlencoded', 'application/octet-stream']);
    headers.push(['content-type', type]);
    const good = type === 'application/json' ? JSON.stringify(values) : queryOf(values);
    if (!this.chance(5)) return Buffer.from(good);
    return this.pick<() => Buffer>([
      () => Buffer.from(good.slice(0, this.#random.below(good.length + 1))),
      () => Buffer.from('{"store":'.repeat(50_000)),
      () => Buffer.from('['.repeat(100_000)),
      () => Buffer.from(`{"backup-time":${'9'.repeat(10_000)}}`),
      () => Buffer.from('{"__proto__":{"store":"x"},"store":"store1"}'),
      () => Buffer.from('null'),
      () => Buffer.from('"x"'),
      () => Buffer.alloc(600 << 10, 'a'),
      () => Buffer.from(Array.from({ length: 300 }, () => this.#random.below(256))),
      () => Buffer.from(`{"a":1,${'"a":1,'.repeat(2000)}"a":2}`),
    ])();
  }
}

function queryOf(values: Record<string, Json>): string {
  return Object.entries(values)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(typeof value === 'string' ? value : JSON.stringify(value))}`)
    .join('&');
}

async function logIn(port: number): Promise<Record<string, string>> {
  const body = JSON.stringify({ username: 'admin@pbs', password });
  const { status, body: text } = await ask(port, request('POST /api2/json/access/ticket', { 'content-type': 'application/json' }, body));
  expect(status).toBe(200);
  const { data } = JSON.parse(text) as { data: { ticket: string; CSRFPreventionToken: string } };
  return { cookie: `PBSAuthCookie=${data.ticket}`, csrfpreventiontoken: data.CSRFPreventionToken };
}

/** With what has come of the body, which may be long; undefined if the connection was closed instead. */
async function answerTo(connection: RawConnection, text: string): Promise<{ status: number; body: string } | undefined | 'late'> {
  connection.send(text);
  const stop = new AbortController();
  const late = setTimeout(answerMsMax, 'late' as const, { signal: stop.signal }).catch(() => undefined);
  const answer = connection.answer({ toHead: true }).then(
    ({ status }) => ({ status, body: connection.rest.toString('latin1') }),
    () => undefined,
  );
  const first = await Promise.race([answer, late]);
  stop.abort();
  return first;
}

/** Bytes that are no request, before TLS or in it; or not all of one. */
async function garbage(port: number, requests: Requests): Promise<void> {
  const bytes = Buffer.from(requests.next(), 'latin1');
  const some = requests.pick([bytes.subarray(0, bytes.length >> 1), Buffer.from([0x16, 3, 1, 255, 255, 1]), Buffer.alloc(5000, 0), Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from('\r\n\r\n\r\n'), bytes.subarray(1)]);
  const connection = requests.chance(2) ? await RawConnection.openPlain(port) : await RawConnection.open(port);
  connection.send(some);
  await setTimeout(requests.pick([0, 1, 30]));
  connection.close();
}

/** Contents by name. */
function filesBelow(directory: string, except: string): Map<string, string> {
  const all = readdirSync(directory, { recursive: true, withFileTypes: true });
  const files = all.filter((entry) => !join(entry.parentPath, entry.name).startsWith(except));
  return new Map(files.map((entry) => [join(entry.parentPath, entry.name), entry.isFile() ? readFileSync(join(entry.parentPath, entry.name), 'latin1') : '']));
}

test(`requests of anything (seed ${firstSeed})`, { timeout: durationMs + 60_000 }, async () => {
  const store = copyOfStore('sample');
  const around = dirname(store);
  mkdirSync(join(around, 'canary'));
  writeFileSync(join(around, 'canary/file'), 'a canary that sings');
  const before = filesBelow(around, store);
  const opened = await openStore(store);
  const snapshots = (await Promise.all((await opened.groups([])).map((group) => opened.snapshots(group)))).flat();
  const server = await startServerProcess(store);
  const login = await logIn(server.port);
  const until = performance.now() + durationMs;
  const seen = new Map<number, number>();
  const faults: string[] = [];
  const lane = async (number: number): Promise<void> => {
    const requests = new Requests(firstSeed + number, snapshots, login);
    while (performance.now() < until) {
      if (requests.chance(10)) {
        await garbage(server.port, requests);
        continue;
      }
      const text = requests.next();
      const connection = await RawConnection.open(server.port);
      // What is announced longer than it is waits for the rest.
      const [, announced = '0'] = /^content-length: (\d+)\r$/im.exec(text) ?? [];
      const isHalf = /^transfer-encoding|^expect|^upgrade|^CONNECT/im.test(text) || Number(announced) > text.length - text.indexOf('\r\n\r\n') - 4;
      const answer = isHalf ? (connection.send(text), await setTimeout(20), undefined) : await answerTo(connection, text);
      connection.close();
      if (answer === 'late') faults.push(`no answer: ${text.slice(0, 500)}`);
      else if (answer !== undefined) seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
      if (typeof answer === 'object' && (!statuses.has(answer.status) || /canary that sings|\n {4}at /.test(answer.body))) faults.push(`${answer.status} ${answer.body.slice(0, 300)}: ${text.slice(0, 500)}`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)));
  expect(faults).toEqual([]);
  expect(server.lines.filter((line) => /^\s+at |inside|Unhandled/.test(line))).toEqual([]);
  expect(seen.get(200) ?? 0).toBeGreaterThan(100);
  expect(seen.get(400) ?? 0).toBeGreaterThan(100);
  expect((await server.memory()).bytes).toBeLessThan(memoryBytesMax);
  expect(filesBelow(around, store)).toEqual(before);
  expect(await ask(server.port, request('GET /api2/json/admin/datastore', login))).toMatchObject({ status: 200, body: expect.stringContaining('store1') as string });
  await expect.poll(async () => (await server.memory()).sessions, { timeout: 10_000 }).toBe(0);
});
