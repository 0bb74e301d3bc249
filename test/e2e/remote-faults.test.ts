/** Mounts and backups over a network that fails: what is cut goes on, what is away is told in time, no byte is wrong, and everybody can leave. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually, isAlive, pbsfs, program, runProgram, start, type Ended } from '../support/command.js';
import type { ExpectedImage } from '../support/expected.js';
import { expectedJson, storePath } from '../support/fixtures.js';
import { canMount } from '../support/mounted-everything.js';
import { daemonOf, mountAt, mountLines, mountPlace, type MountPlace } from '../support/mounted-store.js';
import { emptyStore } from '../support/new-snapshots.js';
import { noise, Random, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { ServedProcess } from '../support/served-process.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const mebibyte = 1 << 20;
const chunkBytes = 4 * mebibyte;
const snapshot = 'vm/120/2021-05-24T16:23:02Z';
const image = `${snapshot}/drive-scsi0.img`;
const expected = expectedJson('sample', `${image}.json`) as ExpectedImage;
const dataChunks = Array.from({ length: Math.ceil(expected.size / chunkBytes) }, (_, n) => n).filter((n) => !expected.zero_chunks.includes(n));
const [first = 0, last = 0] = [dataChunks[0], dataChunks.at(-1)];
const timeoutMs = 3000;

interface Network {
  readonly server: ServedProcess;
  readonly proxy: TcpProxy;
  readonly repository: string;
}

/** Whatever is done in a mount is done by other processes: the network is in this one. */
async function network(store: string): Promise<Network> {
  const server = await ServedProcess.start(store);
  const proxy = await TcpProxy.start(server.port);
  onTestFinished(() => proxy.close());
  return { server, proxy, repository: server.repository(proxy.port) };
}

interface Mounted extends Network, MountPlace {
  readonly at: (path: string) => string;
}

async function mounted({ timeoutSeconds = timeoutMs / 1000, args = [] as readonly string[] } = {}): Promise<Mounted> {
  const way = await network(storePath('sample'));
  const place = mountPlace();
  const { status, stderr } = await mountAt(place, way.repository, ['--timeout', String(timeoutSeconds), '--cache-size', '16M', ...args]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return { ...way, ...place, at: (path) => join(place.mountPoint, path) };
}

async function unmount({ mountPoint }: MountPlace): Promise<void> {
  const pid = await daemonOf(mountPoint);
  const begun = performance.now();
  expect(await pbsfs(['umount', mountPoint])).toMatchObject({ status: 0, stderr: '' });
  await eventually(() => !isAlive(pid), 'the daemon ends');
  expect(performance.now() - begun).toBeLessThan(5000);
}

/** The kernel has nothing of the image "$1" then. */
const forget = 'dd if="$1" iflag=nocache count=0 2> /dev/null';

/** Of the whole image, or what the program said. */
async function digestOf({ at }: Mounted): Promise<string> {
  const { stdout, stderr } = await runProgram('sh', ['-c', `${forget}; exec sha256sum "$1"`, 'sh', at(image)]);
  return stderr === '' ? stdout.slice(0, 64) : stderr;
}

/** The first 64 KiB of a chunk of the image, or what the program said. */
async function headOf({ at }: Mounted, chunk: number): Promise<string> {
  const script = `${forget}; exec dd if="$1" bs=64k count=1 skip="$2" status=none`;
  const { status, bytes, stderr } = await runProgram('sh', ['-c', script, 'sh', at(image), String((chunk * chunkBytes) >> 16)]);
  return status === 0 ? createHash('sha256').update(bytes).digest('hex') : stderr;
}

async function trueHead(chunk: number): Promise<string> {
  const { bytes } = await pbsfs(['cat', storePath('sample'), image]);
  return createHash('sha256').update(bytes.subarray(chunk * chunkBytes, chunk * chunkBytes + 65_536)).digest('hex');
}

interface Connection {
  readonly connected: boolean;
  readonly lastError: string | null;
  readonly reconnections: number;
}

async function connectionOf({ at }: Mounted): Promise<Connection> {
  const { stdout } = await runProgram('cat', [at('.pbsfs/status.json')]);
  return (JSON.parse(stdout) as { connection: Connection }).connection;
}

async function timed<T>(work: Promise<T>): Promise<readonly [T, number]> {
  const begun = performance.now();
  return [await work, performance.now() - begun];
}

/** Nobody can be reached, and who was is told. */
async function pullPlug(proxy: TcpProxy): Promise<void> {
  const refused = proxy.refuse();
  proxy.cut();
  await refused;
}

describe.skipIf(!canMount)('a mount', () => {
  test('reads on when the server was killed and started again, with new ticket keys, too', async () => {
    const mount = await mounted({ timeoutSeconds: 30 });
    mount.proxy.delayMs = 10;
    for (const newTickets of [false, true]) {
      const reading = digestOf(mount);
      await delay(150);
      await mount.server.again({ newTickets });
      expect(await reading).toBe(expected.sha256);
    }
    expect((await connectionOf(mount)).reconnections).toBeGreaterThan(0);
    await unmount(mount);
  });

  test(`reads on when connections are cut within chunks, and bytes of them are changed, seed ${seed}`, { timeout: 120_000 }, async () => {
    const mount = await mounted({ timeoutSeconds: 30 });
    const random = new Random(seed);
    for (const fault of ['cutAfter', 'flipAfter'] as const) {
      let reads = 0;
      let isOver = false;
      const wrong: string[] = [];
      const reading = (async () => {
        for (; !isOver; reads++) {
          const digest = await digestOf(mount);
          if (digest !== expected.sha256) wrong.push(digest);
        }
      })();
      for (let n = 0; n < 15; n++) {
        mount.proxy[fault](random.below(600_000), random.below(8) === 0 ? 'up' : 'down');
        await delay(100 + random.below(200));
      }
      isOver = true;
      await reading;
      expect(wrong, readFileSync(mount.log, 'utf8')).toEqual([]);
      expect(reads).toBeGreaterThan(0);
    }
    expect((await connectionOf(mount)).reconnections).toBeGreaterThan(3);
    await unmount(mount);
  });

  test('in a black hole: what is cached is read, the rest is EIO in time, readers can be ended, and all goes on afterwards', { timeout: 120_000 }, async () => {
    const mount = await mounted();
    const heads = [await trueHead(first), await trueHead(last)];
    expect(await headOf(mount, first)).toBe(heads[0]);
    const listed = readdirSync(join(storePath('sample'), snapshot)).length;
    const list = (): Promise<Ended> => runProgram('ls', [mount.at(snapshot)]);
    const before = await list();
    expect(before.stdout.trim().split('\n').length).toBeGreaterThan(listed - 2);
    expect(await connectionOf(mount)).toMatchObject({ connected: true, lastError: null });
    mount.proxy.isBlackHole = true;

    const [error, took] = await timed(headOf(mount, last));
    expect(error).toMatch(/Input\/output error/);
    expect(took).toBeGreaterThan(timeoutMs - 500);
    // The kernel asks twice: what it read ahead, then the page.
    expect(took).toBeLessThan(timeoutMs + 1500);
    await expect.poll(() => connectionOf(mount), { timeout: 5000 }).toMatchObject({ connected: false, lastError: expect.any(String) as string });
    const [cached, cachedTook] = await timed(headOf(mount, first));
    expect(cached).toBe(heads[0]);
    expect(cachedTook).toBeLessThan(1500);
    const [again, againTook] = await timed(list());
    expect(again.stdout).toBe(before.stdout);
    expect(againTook).toBeLessThan(1500);

    for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
      const reader = start('tail', ['-c', '70000', mount.at(image)]);
      await delay(700);
      expect(isAlive(reader.child.pid ?? 0), signal).toBe(true);
      reader.child.kill(signal);
      const [how, endTook] = await timed(reader.exited);
      expect(how).toBe(signal);
      expect(endTook).toBeLessThan(1000);
    }

    mount.proxy.isBlackHole = false;
    await expect.poll(() => headOf(mount, last), { timeout: 15_000 }).toBe(heads[1]);
    expect(await digestOf(mount)).toBe(expected.sha256);
    expect(await connectionOf(mount)).toMatchObject({ connected: true, lastError: null });
    const damaged = await runProgram('cat', [mount.at('.pbsfs/damaged.jsonl')]);
    expect(damaged.stdout).toBe('');
    await unmount(mount);
  });

  test.each([
    ['can not be reached', pullPlug],
    ['is in a black hole', (proxy: TcpProxy) => void (proxy.isBlackHole = true)],
  ])('is unmounted in a moment while the server %s, and somebody waits for it', async (_, fail) => {
    const mount = await mounted({ timeoutSeconds: 60 });
    expect(await headOf(mount, first)).toBe(await trueHead(first));
    await fail(mount.proxy);
    const pid = await daemonOf(mount.mountPoint);
    const reader = start('tail', ['-c', '70000', mount.at(image)]);
    await delay(500);
    const busy = await timed(pbsfs(['umount', mount.mountPoint]));
    expect(busy[0].status).toBe(7);
    expect(busy[1]).toBeLessThan(5000);
    reader.child.kill('SIGKILL');
    await reader.exited;
    await unmount(mount);
    expect(isAlive(pid)).toBe(false);
    expect(mountLines(mount.mountPoint)).toEqual([]);
  });

  test('over a long way is the same', { timeout: 100_000 }, async () => {
    const mount = await mounted({ timeoutSeconds: 30 });
    mount.proxy.delayMs = 100;
    expect(await digestOf(mount)).toBe(expected.sha256);
    const names = await runProgram('find', [mount.at('ct/113/2021-05-24T16:41:32Z/root.pxar/etc')]);
    expect(names.stdout.split('\n').length).toBeGreaterThan(10);
    await unmount(mount);
  });

  test('of a server that is not there ends with 10 and says where it looked', async () => {
    const { proxy, repository, server } = await network(storePath('sample'));
    await pullPlug(proxy);
    const place = mountPlace();
    const refused = await mountAt(place, repository, ['--timeout', '1']);
    expect(refused.status).toBe(10);
    expect(refused.stderr).toContain(`127.0.0.1:${proxy.port} can not be reached: connection refused`);
    await proxy.accept();
    proxy.isBlackHole = true;
    const silent = await timed(mountAt(place, repository, ['--timeout', '1']));
    expect(silent[0].status).toBe(10);
    expect(silent[0].stderr).toContain(`127.0.0.1:${proxy.port}`);
    expect(silent[1]).toBeLessThan(5000);
    proxy.isBlackHole = false;
    await server.kill();
    expect((await mountAt(place, repository, ['--timeout', '1'])).status).toBe(10);
    expect(mountLines(place.mountPoint)).toEqual([]);
  });

  test('with a disk cache reads what was read by an earlier one, without the server, from what it has opened', async () => {
    const directory = join(scratchDirectory(), 'cache');
    const one = await mounted({ args: ['--disk-cache', directory] });
    expect(await digestOf(one)).toBe(expected.sha256);
    await unmount(one);
    const two = await mounted({ args: ['--disk-cache', directory] });
    // The index is opened with the image; chunks of it are on disk.
    expect(await headOf(two, first)).toBe(await trueHead(first));
    await pullPlug(two.proxy);
    const [digest, took] = await timed(digestOf(two));
    expect(digest).toBe(expected.sha256);
    expect(took).toBeLessThan(timeoutMs);
    expect((await timed(headOf(two, last)))[0]).toBe(await trueHead(last));
    const other = await runProgram('cat', [two.at(`${snapshot}/drive-scsi1.img`)]);
    expect(other.stderr).toMatch(/Input\/output error/);
    await unmount(two);
  });
});

/** What is in the group on the server, hidden or not. */
function left(store: string): string[] {
  const group = join(store, 'host/web');
  return existsSync(group) ? readdirSync(group).filter((name) => name !== 'owner') : [];
}

const faults: readonly (readonly [string, (way: Network) => unknown])[] = [
  ['the plug is pulled', ({ proxy }) => pullPlug(proxy)],
  ['the connection is cut', ({ proxy }) => { proxy.cut(); }],
  ['a byte is changed', ({ proxy }) => { proxy.flipAfter(0, 'up'); }],
  ['nothing comes through any more', ({ proxy }) => void (proxy.isBlackHole = true)],
  ['the server is killed', ({ server }) => server.kill()],
];

async function repair({ proxy, server }: Network): Promise<void> {
  proxy.cut();
  proxy.isBlackHole = false;
  await proxy.accept();
  await server.again();
}

/** When the session has begun to send its chunks. */
async function underWay({ proxy }: Network, begun: number): Promise<void> {
  await eventually(() => proxy.bytes.up > begun + 3 * mebibyte, 'chunks are sent');
}

describe('a backup', () => {
  test.each(faults)('in which %s fails, leaves nothing, and the next one is whole', { timeout: 120_000 }, async (title, fail) => {
    const store = emptyStore();
    const way = await network(store);
    const disk = join(scratchDirectory(), 'disk');
    writeFileSync(disk, noise('disk', 160 * mebibyte));
    const args = ['backup', '--repository', way.repository, '--id', 'web', '--timeout', '3', `disk.img:${disk}`];
    way.proxy.delayMs = 5;
    const running = start(process.execPath, [program, ...args]);
    await underWay(way, 0);
    await fail(way);
    const [status, took] = await timed(running.exited);
    expect(running.text()).toMatch(/127\.0\.0\.1|connection|server/);
    expect(status, running.text()).toBe(10);
    expect(took).toBeLessThan(15_000);
    way.proxy.cut();
    if (title !== 'the server is killed') await eventually(() => left(store).length === 0, 'the server has removed the snapshot');
    await repair(way);
    expect(await pbsfs(args)).toMatchObject({ status: 0 });
    expect(left(store).filter((name) => name.startsWith('2'))).toHaveLength(1);
    expect(left(store).filter((name) => name.startsWith('.'))).toEqual([]);
    execFileSync('sh', ['-c', '"$1" "$2" cat "$3" host/web/latest/disk.img | cmp - "$4"', 'sh', process.execPath, program, store, disk]);
  });
});

describe.skipIf(!canMount)('a commit', () => {
  // What is under way is the same session as in a backup.
  test.each(faults.filter(([title]) => !/cut|byte/.test(title)))('in which %s fails, everything stays staged, and the next one is whole', { timeout: 120_000 }, async (title, fail) => {
    const store = emptyStore();
    const way = await network(store);
    const place = mountPlace();
    const spool = scratchDirectory();
    expect(await mountAt(place, way.repository, ['--timeout', '3', '--writable', '--spool', spool])).toMatchObject({ status: 0, stderr: '' });
    const group = join(place.mountPoint, 'host/web');
    const source = join(scratchDirectory(), 'source');
    mkdirSync(source);
    writeFileSync(join(source, 'large'), noise('large', 40 * mebibyte));
    writeFileSync(join(source, 'disk'), noise('disk', 14 * mebibyte));
    const script = 'mkdir -p "$1/staging" && cp -a "$2" "$1/staging/x.pxar" && dd if="$2/disk" of="$1/staging/disk.img" bs=1M status=none';
    expect(await runProgram('sh', ['-c', script, 'sh', group, source])).toMatchObject({ status: 0, stderr: '' });
    way.proxy.delayMs = 5;
    const begun = way.proxy.bytes.up;
    const moving = start('mv', [join(group, 'staging'), join(group, 'now')]);
    await underWay(way, begun);
    await fail(way);
    const [status, took] = await timed(moving.exited);
    expect(status).toBe(1);
    expect(moving.text()).toMatch(/Input\/output error|Connection|Host/);
    expect(took).toBeLessThan(15_000);
    way.proxy.cut();
    if (title !== 'the server is killed') await eventually(() => left(store).length === 0, 'the server has removed the snapshot');
    await repair(way);
    expect((await runProgram('ls', [group])).stdout).toBe('staging\n');
    const again = await runProgram('mv', [join(group, 'staging'), join(group, 'now')]);
    expect(again, again.stderr).toMatchObject({ status: 0 });
    expect(await runProgram('diff', ['-r', source, join(group, 'latest/x.pxar')])).toMatchObject({ status: 0, stdout: '' });
    expect(await runProgram('cmp', [join(source, 'disk'), join(group, 'latest/disk.img')])).toMatchObject({ status: 0 });
    expect(left(store).filter((name) => name.startsWith('.'))).toEqual([]);
    await unmount(place);
  });
});
