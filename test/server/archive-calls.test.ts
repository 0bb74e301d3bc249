/** What is in snapshots, downloaded: compared with what the commands give. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { beforeAll, describe, expect, test } from 'vitest';
import { formatBackupTime } from '../../src/format/backup-time.js';
import { snapshotPath, type GroupName, type SnapshotName } from '../../src/format/snapshot-name.js';
import { storedFrame } from '../../src/server/datastore/zstd-frames.js';
import type { Datastore } from '../../src/store/datastore.js';
import { openLocalDatastore } from '../../src/store/local/local-datastore.js';
import { zstd } from '../support/chunks.js';
import { pbsfs } from '../support/command.js';
import { callsOf, everything, type CallsOfDatastore, type Rights } from '../support/datastore-calls.js';
import { storePath } from '../support/fixtures.js';

const sample = storePath('sample');
let store: Datastore;
let calls: CallsOfDatastore;
let snapshot: SnapshotName;

beforeAll(async () => {
  store = await openLocalDatastore(sample);
  calls = callsOf(store);
  snapshot = await newest({ namespace: [], type: 'ct', id: '113' });
});

async function newest(group: GroupName): Promise<SnapshotName> {
  const last = (await store.snapshots(group)).at(-1);
  if (last === undefined) throw new Error('no snapshot');
  return last;
}

function snap({ type, id, time }: SnapshotName): { 'backup-type': string; 'backup-id': string; 'backup-time': number } {
  return { 'backup-type': type, 'backup-id': id, 'backup-time': time };
}

async function bytesOf(path: string, parameters: Readonly<Record<string, string | boolean>>, of = snapshot): Promise<Buffer> {
  const answer = await calls.call('root@pam', everything, 'GET', path, { ...snap(of), ...parameters });
  if ('stream' in answer) return await buffer(answer.stream);
  if ('bytes' in answer && answer.bytes instanceof Uint8Array) return Buffer.from(answer.bytes);
  throw new Error('no bytes');
}

async function cat(path: string): Promise<Buffer> {
  const { bytes, status } = await pbsfs(['cat', sample, `${snapshotPath(snapshot)}/${path}`]);
  expect(status).toBe(0);
  return bytes;
}

interface Item {
  readonly filepath: string;
  readonly text: string;
  readonly type: string;
  readonly leaf: boolean;
  readonly size?: number;
  readonly mtime?: number;
}

async function items(filepath: string): Promise<Item[]> {
  return (await calls.root('GET', 'catalog', { ...snap(snapshot), filepath })) as Item[];
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

describe('downloads', () => {
  test('a file as it is stored', async () => {
    for (const { name } of (await store.snapshotFacts(snapshot)).files) {
      expect((await bytesOf('download', { 'file-name': name })).equals(readFileSync(join(sample, snapshotPath(snapshot), name)))).toBe(true);
    }
  });

  test('decoded: a blob, a stream, the manifest, by both names', async () => {
    expect((await bytesOf('download-decoded', { 'file-name': 'catalog.pcat1' })).equals(await cat('catalog.pcat1'))).toBe(true);
    const manifest = await bytesOf('download-decoded', { 'file-name': 'index.json.blob' });
    expect(manifest.equals(await bytesOf('download-decoded', { 'file-name': 'index.json' }))).toBe(true);
    expect((JSON.parse(manifest.toString()) as { 'backup-id': string })['backup-id']).toBe('113');
    const { size } = await store.index(snapshot, 'root.pxar.didx');
    expect(await bytesOf('download-decoded', { 'file-name': 'root.pxar' })).toHaveLength(size);
  });

  test.each(['download', 'download-decoded'])('%s of what is not there, of strange names, and by others', async (path) => {
    const status = (name: string, who = 'root@pam', rights: Rights = everything): Promise<number> => calls.status(who, rights, 'GET', path, { ...snap(snapshot), 'file-name': name });
    for (const name of ['none.blob', '../owner', 'owner', '.protected', '']) expect([name, await status(name)]).toEqual([name, 400]);
    expect(await status('index.json.blob', 'carl@pbs', { '': ['Audit'] })).toBe(403);
    expect(await status('index.json.blob', 'carl@pbs', { '': ['Backup'] })).toBe(400);
  });
});

describe('archives', () => {
  test('from the top to a file', async () => {
    const [top] = await items('root');
    expect(top).toEqual({ filepath: base64('/root.pxar.didx'), text: 'root.pxar.didx', type: 'd', leaf: false });
    const root = await items(top?.filepath ?? '');
    const etc = root.find(({ text }) => text === 'etc');
    expect(etc).toMatchObject({ filepath: base64('root.pxar.didx/etc'), type: 'd', leaf: false });
    const fstab = (await items(etc?.filepath ?? '')).find(({ text }) => text === 'fstab');
    const content = await cat('root.pxar/etc/fstab');
    expect(fstab).toMatchObject({ type: 'f', leaf: true, size: content.length });
    expect((await bytesOf('pxar-file-download', { filepath: fstab?.filepath ?? '' })).equals(content)).toBe(true);
  });

  test('the archive named apart, also one that is split', async () => {
    const split = await newest({ namespace: [], type: 'host', id: 'split' });
    for (const [of, name, path] of [[snapshot, 'root.pxar', 'root.pxar'], [split, 'data.mpxar', 'data.pxar'], [split, 'data.pxar', 'data.pxar']] as const) {
      const listed = (filepath: string, parameters: object = { 'archive-name': `${name}.didx` }): Promise<Item[]> => calls.root('GET', 'catalog', { ...snap(of), filepath, ...parameters }) as Promise<Item[]>;
      const root = await listed('root');
      const whole = await listed(base64(`/${path === 'root.pxar' ? path : 'data.mpxar'}.didx`), {});
      expect(root.map(({ text }) => text)).toEqual(whole.map(({ text }) => text));
      expect(root.length).toBeGreaterThan(0);
      for (const { filepath, text, type } of root) {
        expect(filepath).toBe(base64(`/${text}`));
        if (type === 'd') await listed(filepath);
        if (type !== 'f') continue;
        const { bytes } = await pbsfs(['cat', sample, `${snapshotPath(of)}/${path}/${text}`]);
        expect((await bytesOf('pxar-file-download', { filepath, 'archive-name': `${name}.didx` }, of)).equals(bytes)).toBe(true);
      }
    }
    expect(await calls.root('GET', 'catalog', { ...snap(snapshot), filepath: 'root', 'archive-name': 'catalog.pcat1.didx' })).toEqual(await items('root'));
    for (const name of ['none.pxar.didx', 'index.json.blob', '../root.pxar.didx', '']) {
      expect(await calls.status('root@pam', everything, 'GET', 'catalog', { ...snap(snapshot), filepath: 'root', 'archive-name': name })).toBe(400);
    }
  });

  test('a directory as a tar in zstd', async () => {
    const packed = await bytesOf('pxar-file-download', { filepath: base64('/root.pxar.didx/etc'), tar: true });
    const expected = await pbsfs(['tar', '--store', sample, snapshotPath(snapshot), 'root.pxar', '--pattern', '/etc']);
    const room = Buffer.alloc(expected.bytes.length + 1);
    expect(zstd.decompress(packed, room)).toBe(expected.bytes.length);
    expect(room.subarray(0, -1).equals(expected.bytes)).toBe(true);
  });

  test('refused: a zip, a link, what is not there, no base64', async () => {
    const status = (filepath: string): Promise<number> => calls.status('root@pam', everything, 'GET', 'pxar-file-download', { ...snap(snapshot), filepath });
    expect(await status(base64('/root.pxar.didx/etc'))).toBe(501);
    for (const filepath of ['/root.pxar.didx/nowhere', '/none.pxar.didx/etc', '/catalog.pcat1.didx/etc', '/root.pxar.didx/etc/fstab/x']) {
      expect([filepath, await status(base64(filepath))]).toEqual([filepath, 400]);
    }
    expect(await status('?')).toBe(400);
    expect(await status('')).toBe(400);
  });
});

test('what is encrypted is refused', async () => {
  const vault = await openLocalDatastore(storePath('vault'));
  const encrypted = callsOf(vault);
  let refused = 0;
  for (const group of await vault.groups([])) {
    for (const each of await vault.snapshots(group)) {
      const { files, finished } = await vault.snapshotFacts(each);
      if (!finished) continue;
      const listed = (await encrypted.root('GET', 'files', snap(each))) as { filename: string; 'crypt-mode'?: string }[];
      for (const { filename } of listed.filter((file) => file['crypt-mode'] === 'encrypt' && files.some(({ name }) => name === file.filename) && /didx$|fidx$/.test(file.filename))) {
        expect([formatBackupTime(each.time), filename, await encrypted.status('root@pam', everything, 'GET', 'download-decoded', { ...snap(each), 'file-name': filename })]).toEqual([formatBackupTime(each.time), filename, 400]);
        refused++;
      }
    }
  }
  expect(refused).toBeGreaterThan(0);
});

test.each([0, 1, 131_072, 131_073, 1_000_000])('a frame that is not compressed, of %d bytes', (bytes) => {
  const content = Buffer.alloc(bytes, 'pbsfs');
  const room = Buffer.alloc(bytes + 1);
  expect(zstd.decompress(storedFrame(content), room)).toBe(bytes);
  expect(room.subarray(0, bytes).equals(content)).toBe(true);
});
