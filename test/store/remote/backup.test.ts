/** Backups to our own server, over real connections: what is sent, what is there afterwards, what is left when the connection is cut. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { BackupRequest, BackupResult } from '../../../src/backup/backup-request.js';
import { runBackup } from '../../../src/backup/backup.js';
import { EncryptionKey } from '../../../src/crypto/encryption-key.js';
import type { Datastore } from '../../../src/store/datastore.js';
import { openLocalDatastore } from '../../../src/store/local/local-datastore.js';
import { outcomeOf } from '../../support/outcome.js';
import { everything, openedStore, restored } from '../../support/restored.js';
import { noise } from '../../support/random.js';
import { scratchDirectory } from '../../support/scratch.js';
import { contentAt, openTree } from '../../support/trees.js';
import { watchedStore, type Watched } from '../../support/watched-sessions.js';

const mib = 1 << 20;
const chunk = 4 * mib;
const time = 1_700_000_000;
const group = { namespace: [], type: 'host', id: 'web' } as const;
const plain = { cryptMode: 'none', key: undefined, encryptedKey: undefined } as const;

interface Made extends BackupResult {
  readonly lines: readonly string[];
}

async function backUp(store: Datastore, specs: readonly string[], more: Partial<BackupRequest> = {}): Promise<Made> {
  const lines: string[] = [];
  const result = await runBackup({
    store,
    group,
    time,
    specs: specs.map((spec) => {
      const [name = '', source = ''] = spec.split(':');
      return { name, source, kind: name.endsWith('.pxar') ? 'archive' : name.endsWith('.img') ? 'image' : 'blob' };
    }),
    mode: undefined,
    encryption: plain,
    owner: undefined,
    notes: undefined,
    walk: { excludes: [], skipLostAndFound: false, allFileSystems: false, includeDevices: [], skipUnreadable: false, skipE2bigXattr: false, entriesMax: 1 << 20 },
    chunkAverageBytes: 64 << 10,
    changed: new Map(),
    signal: new AbortController().signal,
    observer: { log: (line) => lines.push(line), warn: (line) => lines.push(line), progress: () => undefined, finishedArchive: () => undefined },
    ...more,
  });
  return { ...result, lines };
}

function file(bytes: Buffer): string {
  const path = join(scratchDirectory(), 'source');
  writeFileSync(path, bytes);
  return path;
}

function image(...labels: readonly string[]): Buffer {
  return Buffer.concat(labels.map((label) => (label === '0' ? Buffer.alloc(chunk) : noise(label, chunk))));
}

async function read(watched: Watched, snapshot: string, name: string, key?: EncryptionKey): Promise<string> {
  const { fs } = await openTree(watched.test.store, { keys: key === undefined ? [] : [key] });
  return sha256(await contentAt(fs, `${snapshot}/${name}`));
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const counted = ({ requests }: Watched, begin: string): number => requests.filter((line) => line.startsWith(begin)).length;
const path = (seconds: number): string => `host/web/${new Date(seconds * 1000).toISOString().replace('.000', '')}`;

test('the recorded example is sent as recorded', async () => {
  const watched = await watchedStore();
  const conf = file(Buffer.from('hello'));
  const disk = file(Buffer.alloc(4_718_592));
  await backUp(watched.store, [`host.conf:${conf}`, `disk.img:${disk}`], { group: { ...group, id: 'elsa' }, time: 1717597476 });
  const zeros = 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8';
  const short = '07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541';
  const sent = watched.requests.map((line) => line.replace(/encoded-size=(?!17&)\d+/, 'encoded-size=<n>'));
  const chunks = sent.splice(sent.findIndex((line) => line.startsWith('POST /fixed_chunk')), 2);
  expect(sent).toEqual([
    'upgrade backup-id=elsa&backup-time=1717597476&backup-type=host&benchmark=false&debug=false&store=store1',
    'GET /previous_backup_time',
    'POST /blob encoded-size=17&file-name=host.conf.blob',
    'POST /fixed_index archive-name=disk.img.fidx&size=4718592',
    `PUT /fixed_index digest-list=[${zeros},${short}]&offset-list=[0,4194304]&wid=1`,
    'POST /fixed_close chunk-count=2&csum=a9d5962e5933418d8b9caee089c12fab0137d7ef4669afe5ab8b964494f5b7b3&size=4718592&wid=1',
    'POST /blob encoded-size=<n>&file-name=client.log.blob',
    'POST /blob encoded-size=<n>&file-name=index.json.blob',
    'POST /finish',
  ]);
  expect(chunks.sort()).toEqual([
    `POST /fixed_chunk digest=${short}&encoded-size=<n>&size=524288&wid=1`,
    `POST /fixed_chunk digest=${zeros}&encoded-size=<n>&size=4194304&wid=1`,
  ]);
});

describe.each(['plain', 'encrypted'])('an image, %s,', (mode) => {
  const key = mode === 'plain' ? undefined : new EncryptionKey(randomBytes(32));
  const encryption = key === undefined ? plain : ({ cryptMode: 'encrypt', key, encryptedKey: undefined } as const);

  test('is what it was; what is known is not sent again', async () => {
    const watched = await watchedStore();
    const first = Buffer.concat([image('a', 'b', '0', 'a', '0'), noise('end', 12345)]);
    const source = file(first);
    await backUp(watched.store, [`disk.img:${source}`], { encryption });
    expect(await read(watched, path(time), 'disk.img', key)).toBe(sha256(first));
    expect(counted(watched, 'POST /fixed_chunk')).toBe(4);

    watched.requests.length = 0;
    await backUp(watched.store, [`disk.img:${source}`], { encryption, time: time + 1 });
    expect(counted(watched, 'POST /fixed_chunk')).toBe(0);
    expect(watched.requests.find((line) => line.includes('_index'))).toMatch(/reuse-csum=[0-9a-f]{64}/);
    expect(watched.requests.find((line) => line.includes('_close'))).toMatch(/chunk-count=0/);
    expect(await read(watched, path(time + 1), 'disk.img', key)).toBe(sha256(first));

    watched.requests.length = 0;
    const second = Buffer.concat([image('a', 'c', '0', '0', 'b'), noise('end', 12345)]);
    writeFileSync(source, second);
    await backUp(watched.store, [`disk.img:${source}`], { encryption, time: time + 2 });
    expect(counted(watched, 'POST /fixed_chunk')).toBe(1);
    expect(watched.requests.find((line) => line.includes('_close'))).toMatch(/chunk-count=3/);
    expect(await read(watched, path(time + 2), 'disk.img', key)).toBe(sha256(second));

    watched.requests.length = 0;
    truncateSync(source, 3 * chunk);
    await backUp(watched.store, [`disk.img:${source}`], { encryption, time: time + 3 });
    expect(counted(watched, 'POST /fixed_chunk')).toBe(0);
    expect(await read(watched, path(time + 3), 'disk.img', key)).toBe(sha256(second.subarray(0, 3 * chunk)));
  });
});

test('with another key nothing is taken over', async () => {
  const watched = await watchedStore();
  const source = file(image('a'));
  await backUp(watched.store, [`disk.img:${source}`]);
  const key = new EncryptionKey(randomBytes(32));
  watched.requests.length = 0;
  await backUp(watched.store, [`disk.img:${source}`], { time: time + 1, encryption: { cryptMode: 'encrypt', key, encryptedKey: undefined } });
  expect(counted(watched, 'GET /previous archive-name=disk')).toBe(0);
  expect(counted(watched, 'POST /fixed_chunk')).toBe(1);
  expect(await read(watched, path(time + 1), 'disk.img', key)).toBe(sha256(image('a')));
});

describe('a file tree', () => {
  function tree(): string {
    const root = scratchDirectory();
    mkdirSync(join(root, 'd'));
    for (let n = 0; n < 40; n++) {
      const name = join(root, 'd', `f${n}`);
      writeFileSync(name, noise(`f${n}`, 1000 + n * 3000));
      utimesSync(name, 1_600_000_000, 1_600_000_000);
    }
    return root;
  }

  async function same(watched: Watched, snapshot: string, root: string): Promise<void> {
    const target = join(scratchDirectory(), 'tree');
    await restored(await openedStore(watched.test.store), snapshot, 'root.pxar', target, everything);
    for (const name of readdirSync(join(root, 'd'))) expect(readFileSync(join(target, 'd', name)).equals(readFileSync(join(root, 'd', name))), name).toBe(true);
    expect(readdirSync(join(target, 'd')).length).toBe(readdirSync(join(root, 'd')).length);
  }

  test.each(['legacy', 'data', 'metadata'] as const)('in mode %s is what it was', async (mode) => {
    const watched = await watchedStore();
    const root = tree();
    await backUp(watched.store, [`root.pxar:${root}`], { mode });
    await same(watched, path(time), root);
    watched.requests.length = 0;
    writeFileSync(join(root, 'd', 'new'), noise('new', 300_000));
    const { lines } = await backUp(watched.store, [`root.pxar:${root}`], { mode, time: time + 1 });
    expect(lines.filter((line) => /can't|nothing of/.test(line))).toEqual([]);
    await same(watched, path(time + 1), root);
    if (mode === 'metadata') expect(watched.requests).toContain('GET /previous archive-name=root.ppxar.didx');
    const sent = watched.requests.flatMap((line) => Number(/_chunk.*[^-]size=(\d+)/.exec(line)?.[1] ?? 0)).reduce((a, b) => a + b, 0);
    expect(sent).toBeLessThan(mode === 'legacy' ? 1_500_000 : 1_000_000);
  });
});

describe('refusals', () => {
  test('tell what can be done', async () => {
    const watched = await watchedStore();
    const source = file(Buffer.from('x'));
    await backUp(watched.store, [`a.conf:${source}`]);
    expect(await outcomeOf(backUp(watched.store, [`a.conf:${source}`]))).toMatch(/^EXISTS .*later time/);
    expect(await outcomeOf(backUp(watched.store, [`a.conf:${source}`], { group: { ...group, namespace: ['none'] } }))).toMatch(/^NOT_FOUND .*none/);
    expect(await outcomeOf(backUp(watched.store, [`a.conf:${source}`], { owner: 'root@pam' }))).toMatch(/^NOT_SUPPORTED .*log in as root@pam/);
    const session = await watched.store.beginBackup({ snapshot: { ...group, time: time + 1 }, key: undefined, owner: undefined, warn: () => undefined });
    expect(await outcomeOf(backUp(watched.store, [`a.conf:${source}`], { time: time + 2 }))).toMatch(/^LOCKED /);
    await session.abort();
    const other = await watchedStore({ directory: watched.test.store, user: 'other@pbs' });
    expect(await outcomeOf(backUp(other.store, [`a.conf:${source}`], { time: time + 2 }))).toMatch(/^NOT_OWNER .*backup@pbs/);
    const reader = await watchedStore({ directory: watched.test.store, user: 'reader@pbs' });
    expect(await outcomeOf(backUp(reader.store, [`a.conf:${source}`], { time: time + 2 }))).toMatch(/^NO_PERMISSION /);
  });
});

describe('a cut connection', () => {
  const kinds = ['GET /previous_backup_time', 'GET /previous ', 'POST /blob ', 'POST /fixed_index', 'POST /fixed_chunk', 'PUT /fixed_index', 'POST /fixed_close', 'POST /finish'];
  test.each(kinds)('at %s leaves nothing, and the next backup is whole', async (kind) => {
    const watched = await watchedStore();
    const bytes = image('a', 'b', 'c');
    const source = file(bytes);
    const conf = file(Buffer.from('conf'));
    await backUp(watched.store, [`disk.img:${file(image('z'))}`]);
    const isThere = (): boolean => existsSync(join(watched.test.store, path(time + 1)));
    watched.before = ({ method, path: asked }) => {
      if (!`${method} ${asked} `.startsWith(kind)) return;
      watched.before = () => undefined;
      watched.cut();
    };
    const outcome = await outcomeOf(backUp(watched.store, [`disk.img:${source}`, `a.conf:${conf}`], { time: time + 1 }));
    expect(outcome).toMatch(/^UNREACHABLE .*Nothing is left/);
    expect(isThere()).toBe(false);
    await expect.poll(() => outcomeOf(backUp(watched.store, [`disk.img:${source}`, `a.conf:${conf}`], { time: time + 2 })), { timeout: 10_000 }).toBe('done');
    expect(await read(watched, path(time + 2), 'disk.img')).toBe(sha256(bytes));
    const local = await openLocalDatastore(watched.test.store);
    onTestFinished(() => local.close());
    expect((await local.snapshots(group)).map((each) => each.time)).toEqual([time, time + 2]);
  });

  test('an interrupt ends it at once', async () => {
    const watched = await watchedStore();
    const controller = new AbortController();
    watched.before = ({ path: asked }) => {
      if (asked === '/fixed_chunk') controller.abort();
    };
    expect(await outcomeOf(backUp(watched.store, [`disk.img:${file(image('a', 'b', 'c'))}`], { signal: controller.signal }))).toMatch(/^INTERRUPTED /);
    await expect.poll(() => existsSync(join(watched.test.store, path(time)))).toBe(false);
  });
});
