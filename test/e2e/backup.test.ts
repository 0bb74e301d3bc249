/** `pbsfs init`, `backup` and `restore` as people run them: whole snapshots, refusals, sources that misbehave. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { pbsfs, program, runProgram, start, type Ended } from '../support/command.js';
import { keyPath, storePath } from '../support/fixtures.js';
import { emptyStore } from '../support/new-snapshots.js';
import { copyOfStore, scratchDirectory } from '../support/scratch.js';
import type { Manifest } from '../../src/format/manifest.js';
import { locationOf, places } from '../support/store-table.js';
import { changeManifest } from '../support/trees.js';

const directory = scratchDirectory();
const inDirectory = join(directory, 'store');
const source = join(directory, 'source');
const image = join(directory, 'disk.img');
const times = ['2026-11-21T19:00:00Z', '2026-11-22T19:00:00Z', '2026-11-23T19:00:00Z', '2026-11-24T19:00:00Z'] as const;

interface Event {
  readonly event: string;
  readonly [member: string]: unknown;
}

function events(ended: Ended): Event[] {
  return ended.stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Event);
}

function lastEvent(ended: Ended): Event {
  return events(ended).at(-1) ?? { event: 'none' };
}

function backupTo(of: string, args: readonly string[]): Promise<Ended> {
  return pbsfs(['backup', '--store', of, '--json', ...args]);
}

function backup(args: readonly string[], of: string = inDirectory): Promise<Ended> {
  return backupTo(of, args);
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function chunkFiles(of: string): string[] {
  return readdirSync(join(of, '.chunks'), { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('/'));
}

beforeAll(async () => {
  mkdirSync(join(source, 'sub'), { recursive: true });
  for (let i = 0; i < 50; i++) writeFileSync(join(source, 'sub', `file${i}`), `line ${i}\n`.repeat(i * 20));
  writeFileSync(join(source, 'large'), randomBytes(9 << 20));
  writeFileSync(join(source, 'skipped.tmp'), 'nothing');
  execFileSync('ln', ['-s', 'large', join(source, 'link')]);
  execFileSync('ln', [join(source, 'large'), join(source, 'sub', 'hard')]);
  writeFileSync(image, randomBytes(6 << 20));
  truncateSync(image, 20 << 20);
  expect(await pbsfs(['init', inDirectory])).toMatchObject({ status: 0 });
}, 120_000);

describe.each(places)('a snapshot %s', (storeAt) => {
  let store = '';
  let location = '';
  beforeAll(async () => {
    store = storeAt === 'in a directory' ? inDirectory : emptyStore(join(directory, 'served'));
    location = await locationOf(store, storeAt);
  });
  const backup = (args: readonly string[]): Promise<Ended> => backupTo(location, args);

  test('of a directory, an image and a file is listed, readable and restorable', async () => {
    writeFileSync(join(directory, 'notes'), 'some notes\n');
    const specs = [`tree.pxar:${source}`, `disk.img:${image}`, `notes.conf:${join(directory, 'notes')}`];
    const done = await backup(['--id', 'web1', '--time', times[0], '--exclude', '*.tmp', ...specs]);
    expect(done.stderr).toBe('');
    expect(done.status).toBe(0);
    expect(lastEvent(done)).toMatchObject({ event: 'finished', snapshot: `host/web1/${times[0]}`, owner: 'root@pam', warnings: 0 });
    const listed = await pbsfs(['snapshots', '--json', location]);
    expect(JSON.parse(listed.stdout)).toMatchObject({ finished: true, owner: 'root@pam', cryptMode: 'none' });
    const at = `host/web1/${times[0]}`;
    expect((await pbsfs(['cat', location, `${at}/disk.img`])).bytes.equals(readFileSync(image))).toBe(true);
    expect((await pbsfs(['cat', location, `${at}/notes.conf`])).stdout).toBe('some notes\n');
    expect((await pbsfs(['cat', location, `${at}/client.log`])).stdout).toContain('tree.pxar');
    const target = join(scratchDirectory(), 'restored');
    expect(await pbsfs(['restore', '--store', location, 'host/web1/latest', 'tree.pxar', target])).toMatchObject({ status: 0 });
    const compared = await runProgram('rsync', ['-naAXHi', '--checksum', '--delete', '--exclude=*.tmp', `${source}/`, `${target}/`]);
    expect(compared.stdout).toBe('');
  });

  test('of the same tree again stores nothing but metadata, and reads no file in metadata mode', async () => {
    const before = chunkFiles(store).length;
    const done = await backup(['--id', 'web1', '--time', times[1], '--exclude', '*.tmp', `tree.pxar:${source}`, `disk.img:${image}`]);
    expect(done.status).toBe(0);
    const archive = events(done).find(({ event, name }) => event === 'archive' && name === 'tree.pxar');
    expect(archive?.bytesReused).toBeGreaterThan(9 << 20);
    // The start and the end of the payload, and the first chunk of its index, are new.
    expect(chunkFiles(store).length - before).toBeLessThanOrEqual(3);
  });

  test('in legacy mode has a catalog', async () => {
    expect(await backup(['--id', 'old', '--mode', 'legacy', '--time', times[0], `tree.pxar:${source}`])).toMatchObject({ status: 0 });
    const listed = await pbsfs(['snapshots', '--json', location, 'host/old']);
    const { files } = JSON.parse(listed.stdout) as { files: { filename: string }[] };
    expect(files.map(({ filename }) => filename)).toEqual(['tree.pxar.didx', 'catalog.pcat1.didx']);
    expect((await pbsfs(['ls', location, 'host/old/latest/tree.pxar'])).stdout).toContain('skipped.tmp');
  });

  test('without --id is named as the host, without --time by the clock', async () => {
    const done = await backup([`tree.pxar:${source}`]);
    expect(String(lastEvent(done).snapshot)).toMatch(new RegExp(`^host/${hostname()}/2`));
  });

  test('of standard input is an image of its length', async () => {
    const content = randomBytes(5_000_001);
    writeFileSync(join(directory, 'input'), content);
    const script = `exec "$0" "$1" backup --store "$2" --id pipe --time ${times[0]} dump.img:- < "$3"`;
    const done = await runProgram('sh', ['-c', script, process.execPath, program, location, join(directory, 'input')]);
    expect(done.status).toBe(0);
    expect((await pbsfs(['cat', location, 'host/pipe/latest/dump.img'])).bytes.equals(content)).toBe(true);
  });
});

describe('encryption', () => {
  const key = keyPath('plain.json');

  test('a snapshot with a key can be read with it only, and another key shares no chunk', async () => {
    const encrypted = join(directory, 'encrypted');
    await pbsfs(['init', encrypted]);
    const empty = new Set(chunkFiles(encrypted));
    chmodSync(key, 0o600);
    expect(await backup(['--id', 'a', '--time', times[0], '--keyfile', key, `disk.img:${image}`], encrypted)).toMatchObject({ status: 0 });
    const first = chunkFiles(encrypted).filter((name) => !empty.has(name));
    expect((await pbsfs(['cat', encrypted, 'host/a/latest/disk.img'])).status).toBe(4);
    expect((await pbsfs(['cat', '--keyfile', key, encrypted, 'host/a/latest/disk.img'])).bytes.equals(readFileSync(image))).toBe(true);
    expect(await backup(['--id', 'b', '--time', times[0], '--keyfile', key, `disk.img:${image}`], encrypted)).toMatchObject({ status: 0 });
    expect(chunkFiles(encrypted).filter((name) => !empty.has(name))).toEqual(first);
    const other = join(directory, 'other.json');
    expect(await pbsfs(['key', 'create', other, '--kdf', 'none'])).toMatchObject({ status: 0 });
    expect(await backup(['--id', 'c', '--time', times[0], '--keyfile', other, `disk.img:${image}`], encrypted)).toMatchObject({ status: 0 });
    expect(chunkFiles(encrypted).filter((name) => !empty.has(name)).length).toBe(first.length * 2);
    expect(await backup(['--id', 'd', '--time', times[0], '--keyfile', key, '--crypt-mode', 'sign-only', `disk.img:${image}`], encrypted)).toMatchObject({ status: 0 });
    expect(JSON.parse((await pbsfs(['snapshots', '--json', encrypted, 'host/d'])).stdout)).toMatchObject({ cryptMode: 'sign-only' });
  });

  test('with a master key the snapshot holds its own key', async () => {
    const master = keyPath('master-public.pem');
    const done = await backup(['--id', 'm', '--time', times[0], '--keyfile', key, '--master-pubkey', master, `disk.img:${image}`]);
    expect(done.status).toBe(0);
    expect(statSync(join(inDirectory, 'host/m', times[0], 'rsa-encrypted.key.blob')).size).toBe(12 + 512);
  });
});

describe('a previous snapshot that is not signed with the key of the new one, by its manifest', () => {
  const [keyFile, otherKeyFile] = [join(directory, 'signer.json'), join(directory, 'stranger.json')];
  const sources = [`disk.img:${image}`, `tree.pxar:${source}`];
  const unchanged = join(directory, 'unchanged');
  beforeAll(async () => {
    for (const path of [keyFile, otherKeyFile]) expect(await pbsfs(['key', 'create', path, '--kdf', 'none'])).toMatchObject({ status: 0 });
    writeFileSync(unchanged, '[]');
  });

  const unnamed = ({ unprotected: { keyFingerprint: _, ...unprotected }, ...manifest }: Manifest): Manifest => ({ ...manifest, unprotected });
  const unsigned = (manifest: Manifest): Manifest => ({ ...manifest, signature: undefined });
  const cases: readonly (readonly [what: string, change: (manifest: Manifest) => Manifest, madeWith: string])[] = [
    ['of another key, which it names', (manifest) => manifest, otherKeyFile],
    ['of another key, without signature and fingerprint', (manifest) => unsigned(unnamed(manifest)), otherKeyFile],
    ['without signature and fingerprint', (manifest) => unsigned(unnamed(manifest)), keyFile],
    ['without signature', unsigned, keyFile],
    ['without fingerprint', unnamed, keyFile],
  ];
  describe.each(places)('%s', (storeAt) => {
    test.each(cases)('%s: nothing of it is reused', { timeout: 60_000 }, async (_what, change, madeWith) => {
      const store = emptyStore();
      const location = await locationOf(store, storeAt);
      const args = ['--id', 'a', '--mode', 'data', ...sources];
      expect(await backupTo(location, ['--time', times[0], '--keyfile', madeWith, ...args])).toMatchObject({ status: 0 });
      changeManifest(join(store, 'host/a', times[0]), change);
      const again = ['--id', 'a', '--mode', 'metadata', '--changed', `disk.img=${unchanged}`, ...sources];
      const done = await backupTo(location, ['--time', times[1], '--keyfile', keyFile, ...again]);
      expect(done.status, done.stderr).toBe(0);
      expect(done.stdout).toMatch(/nothing of the previous snapshot host\/a\/\S+ is reused: /);
      expect(done.stdout).not.toMatch(/dirty-bitmap status: OK/);
      for (const [name, path] of [['disk.img', image], ['tree.pxar/large', join(source, 'large')]] as const) {
        const read = await pbsfs(['cat', '--keyfile', keyFile, location, `host/a/latest/${name}`]);
        expect(read.stderr).toBe('');
        expect(sha256(read.bytes)).toBe(sha256(readFileSync(path)));
      }
    });
  });

  test.each(['encrypt', 'sign-only'])('not signed at all, and now in mode %s: nothing of it is reused', async (mode) => {
    const store = emptyStore();
    const args = ['--id', 'a', '--mode', 'metadata', ...sources];
    expect(await backupTo(store, ['--time', times[0], ...args])).toMatchObject({ status: 0 });
    const done = await backupTo(store, ['--time', times[1], '--keyfile', keyFile, '--crypt-mode', mode, '--changed', `disk.img=${unchanged}`, ...args]);
    expect(done.stdout).toMatch(/is reused: its manifest is not signed/);
    expect(await backupTo(store, ['--time', times[2], '--keyfile', keyFile, '--crypt-mode', mode, '--changed', `disk.img=${unchanged}`, ...args])).toMatchObject({
      status: 0,
      stdout: expect.not.stringContaining('nothing of the previous') as string,
    });
  });
});

describe('refused, with nothing left behind', () => {
  const refusals: readonly (readonly [what: string, args: readonly string[], status: number, text: RegExp])[] = [
    ['a time that exists', ['--id', 'web1', '--time', times[1], `disk.img:${image}`], 8, /newer|exists/],
    ['a time before the newest', ['--id', 'web1', '--time', times[0], `disk.img:${image}`], 8, /newer|exists/],
    ['another owner', ['--id', 'web1', '--time', times[3], '--owner', 'other@pbs', `disk.img:${image}`], 4, /root@pam/],
    ['an owner outside of the grammar', ['--id', 'x', '--owner', 'a@b', `disk.img:${image}`], 2, /a realm has 2 to 32/],
    ['a name outside of the grammar', ['--id', 'x', `disk.iso:${image}`], 2, /disk\.iso/],
    ['a name twice', ['--id', 'x', `a.img:${image}`, `a.img:${image}`], 2, /a\.img/],
    ['an id outside of the grammar', ['--id', '../x', `a.img:${image}`], 2, /--id/],
    ['a type that is none', ['--type', 'pod', `a.img:${image}`], 2, /--type/],
    ['a namespace that is not there', ['--ns', 'nowhere', `a.img:${image}`], 3, /nowhere/],
    ['a source that is missing', ['--id', 'x', `a.img:${image}.none`], 3, /disk\.img\.none/],
    ['a directory as an image', ['--id', 'x', `a.img:${source}`], 1, /source/],
    ['a file as an archive', ['--id', 'x', `a.pxar:${image}`], 1, /disk\.img/],
    ['a crypt mode without key', ['--crypt-mode', 'encrypt', `a.img:${image}`], 2, /--keyfile/],
    ['no source at all', ['--id', 'x'], 2, /NAME/],
  ];
  test.each(refusals)('%s', async (_, args, status, text) => {
    const before = readdirSync(join(inDirectory, 'host'), { recursive: true, encoding: 'utf8' }).filter((name) => name.split('/').length > 1).sort();
    const done = await backup(args);
    expect(done.stderr).toMatch(text);
    expect(done.status).toBe(status);
    const after = readdirSync(join(inDirectory, 'host'), { recursive: true, encoding: 'utf8' }).filter((name) => name.split('/').length > 1 && !/\/owner$/.test(name)).sort();
    expect(after.filter((name) => !before.includes(name))).toEqual([]);
  });

  test('a fifo as an image', async () => {
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const done = await backup(['--id', 'x', `a.img:${fifo}`]);
    expect(done.status).toBe(1);
    expect(done.stderr).toMatch(/fifo/);
  });

  test('a directory that is no datastore names init', async () => {
    const done = await backup([`a.img:${image}`], source);
    expect(done.status).toBe(5);
    expect(done.stderr).toMatch(/pbsfs init/);
  });
});

describe('sources that change, and previous snapshots that are damaged', () => {
  test('Ctrl-C leaves no snapshot, and the next backup works', async () => {
    const big = join(directory, 'big.img');
    execFileSync('sh', ['-c', `head -c 400000000 /dev/urandom > ${big}`]);
    const running = start(process.execPath, [program, 'backup', '--store', inDirectory, '--id', 'stopped', '--json', `big.img:${big}`]);
    await running.wrote(/"start"/);
    await new Promise((resolve) => setTimeout(resolve, 700));
    running.child.kill('SIGINT');
    expect(await running.exited).toBe(130);
    expect((await pbsfs(['snapshots', '--json', inDirectory, 'host/stopped'])).stdout).toBe('');
    expect(readdirSync(join(inDirectory, 'host'))).not.toContain('stopped');
    expect(await backup(['--id', 'stopped', `big.img:${big}`])).toMatchObject({ status: 0 });
    rmSync(big);
  });

  test('a chunk that is missing from the previous snapshot is stored again', async () => {
    const damaged = copyOfStore('sample');
    const tree = join(directory, 'plain');
    mkdirSync(tree);
    writeFileSync(join(tree, 'file'), randomBytes(3 << 20));
    utimesSync(join(tree, 'file'), 1_700_000_000, 1_700_000_000);
    const before = new Set(chunkFiles(damaged));
    expect(await backup(['--id', 'p', '--time', times[0], `tree.pxar:${tree}`], damaged)).toMatchObject({ status: 0 });
    const added = chunkFiles(damaged).filter((name) => !before.has(name));
    const largest = added.toSorted((a, b) => statSync(join(damaged, '.chunks', b)).size - statSync(join(damaged, '.chunks', a)).size)[0] ?? '';
    rmSync(join(damaged, '.chunks', largest));
    const done = await backup(['--id', 'p', '--time', times[1], `tree.pxar:${tree}`], damaged);
    expect([0, 9]).toContain(done.status);
    expect(done.stdout).toMatch(/missing|read again/);
    const restored = await pbsfs(['cat', damaged, 'host/p/latest/tree.pxar/file']);
    expect(sha256(restored.bytes)).toBe(sha256(readFileSync(join(tree, 'file'))));
  });

  test('a group of the real server goes on, and shares its chunks', async () => {
    const shared = copyOfStore('sample');
    const restored = join(directory, 'split');
    expect(await pbsfs(['restore', '--store', shared, 'host/split/2021-05-27T20:00:00Z', 'data.pxar', restored])).toMatchObject({ status: 0 });
    const done = await backup(['--id', 'split', '--time', times[0], `data.pxar:${restored}`], shared);
    expect(done.status).toBe(0);
    expect(lastEvent(done)).toMatchObject({ owner: 'backup@pbs' });
    const archive = events(done).find(({ event }) => event === 'archive');
    expect(Number(archive?.bytesStored)).toBeLessThan(200_000);
    const scsi = join(directory, 'scsi0');
    writeFileSync(scsi, (await pbsfs(['cat', storePath('sample'), 'vm/120/latest/drive-scsi0.img'])).bytes);
    const image2 = await backup(['--type', 'vm', '--id', '120', '--time', times[0], `drive-scsi0.img:${scsi}`], shared);
    expect(lastEvent(image2)).toMatchObject({ bytesStored: 0 });
  });
});
