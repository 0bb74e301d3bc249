/** The tree around the archives: names, facts, changes in the store, keys, manifests that do not fit. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { signManifest } from '../../src/crypto/manifest-signature.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { codeOf } from '../../src/errors.js';
import { copyOfStore } from '../support/scratch.js';
import { encodeBlob, fixtureKeys } from '../support/chunks.js';
import { entryAt, listAll, namesOf, readAll, sha256 } from '../support/file-system-reader.js';
import { expectedJson, expectedPath, storePath } from '../support/fixtures.js';
import { changeManifest, contentAt, factsAt, inoAt, namesIn, openTree, replaceFile } from '../support/trees.js';

interface ExpectedSnapshot {
  path: string;
  finished: boolean;
  protected?: boolean;
  notes?: string | null;
  verify_state?: string | null;
  fingerprint?: string | null;
  chunk_upload_stats?: { compressed_size: number };
  files?: { filename: string; size: number; csum: string; 'crypt-mode': string; kind: string }[];
}

const [plainKey, passwordKey] = fixtureKeys() as [EncryptionKey, EncryptionKey];
/** Two seconds are what is promised; the rest is for a machine that does other things as well. */
const within = { timeout: 6000, interval: 50 };
const fingerprint = /[0-9a-f]{2}(:[0-9a-f]{2}){31}/;

describe('names', () => {
  test('the root lists types and namespaces, and hides what is inside', async () => {
    const { fs } = await openTree(storePath('sample'));
    expect(await namesIn(fs, '')).toEqual(['ct', 'host', 'vm', 'ns']);
    expect(await namesIn(fs, 'ns/prod')).toEqual(['host', 'vm', 'ns']);
    expect(await namesIn(fs, 'ns/prod/ns/eu/vm')).toEqual(['201']);
    expect(await namesIn(fs, '.pbsfs')).toEqual(['status.json', 'metrics', 'damaged.jsonl']);
    for (const name of ['.chunks', '.lock', 'none', 'CT', '.', '..', '', 'vm\0']) expect(await fs.lookup(fs.root, Buffer.from(name)), name).toBeUndefined();
    await expect(entryAt(fs, namesOf('ct/113/none'))).rejects.toThrow('not found');
  });

  test('another namespace as the root', async () => {
    const { fs } = await openTree(storePath('sample'), { namespace: ['prod'] });
    expect(await namesIn(fs, '')).toEqual(['host', 'vm', 'ns']);
    expect(await namesIn(fs, 'vm/200')).toEqual(['2021-05-26T01:30:00Z', 'latest']);
  });

  test('latest is a link to the newest finished snapshot', async () => {
    const { fs } = await openTree(storePath('sample'));
    const link = await entryAt(fs, namesOf('ct/113/latest'));
    expect(link.attributes.mode & 0o170000).toBe(0o120000);
    expect((await fs.readlink(link.attributes.ino)).toString()).toBe('2021-05-28T03:10:07Z');
    // Nothing of it was finished: the snapshot is there, with what can be shown of it.
    expect(await namesIn(fs, 'host/crashed')).toEqual(['2021-05-27T05:00:00Z']);
    expect(await factsAt(fs, 'host/crashed/2021-05-27T05:00:00Z')).toMatchObject({ finished: 'false' });
  });

  test('a snapshot shows blobs decoded, archives as directories, images with their partitions', async () => {
    const { fs } = await openTree(storePath('sample'));
    expect((await namesIn(fs, 'vm/120/2021-05-24T16:09:24Z')).sort()).toEqual(
      ['client.log', 'drive-scsi0.img', 'drive-scsi0.img.parts', 'drive-scsi1.img', 'drive-scsi1.img.parts', 'index.json', 'qemu-server.conf'].sort(),
    );
    expect((await namesIn(fs, 'host/split/2021-05-25T20:00:00Z')).sort()).toEqual(['data.pxar', 'index.json'].sort());
    expect(await namesIn(fs, 'vm/120/2021-05-24T16:09:24Z/drive-scsi1.img.parts')).toEqual([]);
  });

  test('files of archives are not listed twice, numbers of files stay', async () => {
    const { fs } = await openTree(storePath('sample'));
    const first = await inoAt(fs, 'ct/113/2021-05-24T16:41:32Z/root.pxar/etc');
    expect(await inoAt(fs, 'ct/113/2021-05-24T16:41:32Z/root.pxar/etc')).toBe(first);
    expect(await inoAt(fs, 'ct/113/2021-05-28T03:10:07Z/root.pxar/etc')).not.toBe(first);
    for (const ino of [0, -1, 999_999, 2 ** 52]) await expect(Promise.resolve().then(() => fs.getattr(ino))).rejects.toMatchObject({ code: 'STALE' });
  });
});

describe.each(['sample', 'vault'] as const)('facts of %s', (name) => {
  const { snapshots } = expectedJson(name, 'datastore.json') as { snapshots: ExpectedSnapshot[] };

  test('snapshots and archives have what the manifest says as attributes', async () => {
    const { fs } = await openTree(storePath(name), { keys: fixtureKeys() });
    for (const snapshot of snapshots.filter(({ finished }) => finished)) {
      const facts = await factsAt(fs, snapshot.path);
      const modes = snapshot.files?.map((file) => file['crypt-mode']) ?? [];
      expect(facts, snapshot.path).toMatchObject({
        protected: String(snapshot.protected ?? false),
        finished: 'true',
        'crypt-mode': modes.includes('encrypt') ? 'encrypt' : modes.includes('sign-only') ? 'sign-only' : 'none',
        ...(typeof snapshot.notes === 'string' && { notes: snapshot.notes }),
        ...(typeof snapshot.verify_state === 'string' && { 'verify-state': snapshot.verify_state }),
        ...(typeof snapshot.fingerprint === 'string' && { fingerprint: snapshot.fingerprint }),
      });
      expect(facts['owner']).toMatch(/^(backup@pbs(!ci)?|root@pam)$/);
      expect('notes' in facts).toBe(typeof snapshot.notes === 'string');
      for (const file of snapshot.files ?? []) {
        const shown = file.filename.replace(/\.[a-z]+$/, '').replace(/\.mpxar$/, '.pxar');
        if (shown.endsWith('.ppxar')) continue;
        const own = await factsAt(fs, `${snapshot.path}/${shown}`);
        expect(own['digest']?.split(' ')[0], `${snapshot.path}/${shown}`).toBe(file.csum);
        expect(own['crypt-mode']).toBe(file['crypt-mode']);
        expect(Number(own['encoded-size'])).toBeGreaterThan(0);
        expect(own['damaged']).toBeUndefined();
      }
    }
  });
});

test('group facts', async () => {
  const { fs } = await openTree(storePath('sample'));
  const facts = await factsAt(fs, 'vm/120');
  expect(facts['owner']).toBe('root@pam');
  expect(facts['notes']).toBeTypeOf('string');
  expect(await factsAt(fs, 'ns/prod/vm/200')).toEqual({ owner: 'backup@pbs!ci' });
});

test('the reports: status, metrics and no damage', async () => {
  const { fs } = await openTree(storePath('sample'));
  fs.reportDriver(() => ({ name: 'test' }));
  await contentAt(fs, 'ct/113/latest/root.pxar/etc/hostname'.replace('latest', '2021-05-28T03:10:07Z')).catch(() => undefined);
  await contentAt(fs, 'ns/prod/vm/200/2021-05-26T01:30:00Z/drive-virtio1.img');
  const status = JSON.parse((await contentAt(fs, '.pbsfs/status.json')).toString()) as Record<string, unknown>;
  expect(status).toMatchObject({ source: storePath('sample'), damagedChunks: 0, salvage: false, keys: [], driver: { name: 'test' } });
  expect(status['cache']).toMatchObject({ bytesMax: 64 << 20, failures: 0 });
  const metrics = (await contentAt(fs, '.pbsfs/metrics')).toString();
  for (const line of metrics.trim().split('\n')) expect(line).toMatch(/^(# (HELP|TYPE) pbsfs_[a-z_]+ .+|pbsfs_[a-z_]+ [0-9.e+]+)$/);
  expect(metrics).toMatch(/^pbsfs_cache_misses_total [1-9]/m);
  expect((await contentAt(fs, '.pbsfs/damaged.jsonl')).length).toBe(0);
});

describe('changes in the store show within two seconds', () => {
  const day = '2021-05-24T16:41:32Z';
  const next = '2021-05-29T00:00:00Z';

  test('a snapshot that is added, unfinished at first, and removed', async () => {
    const store = copyOfStore('sample');
    const group = join(store, 'ct/113');
    const { fs, log } = await openTree(store);
    const latest = async (): Promise<string> => (await fs.readlink(await inoAt(fs, 'ct/113/latest'))).toString();
    expect(await latest()).toBe('2021-05-28T03:10:07Z');
    cpSync(join(group, day), join(group, next), { recursive: true, filter: (path) => !path.endsWith('index.json.blob') });
    await vi.waitFor(async () => {
      expect(await namesIn(fs, 'ct/113')).toEqual([day, '2021-05-28T03:10:07Z', next, 'latest']);
    }, within);
    expect(await latest()).toBe('2021-05-28T03:10:07Z');
    cpSync(join(group, day, 'index.json.blob'), join(group, next, 'index.json.blob'));
    await vi.waitFor(async () => {
      expect(await latest()).toBe(next);
      expect(await namesIn(fs, `ct/113/${next}`)).toContain('root.pxar');
    }, within);
    rmSync(join(group, next), { recursive: true });
    await vi.waitFor(async () => {
      expect(await latest()).toBe('2021-05-28T03:10:07Z');
      expect(await fs.lookup(await inoAt(fs, 'ct/113'), Buffer.from(next))).toBeUndefined();
    }, within);
    expect(log).toEqual([]);
  });

  test('a removed snapshot whose file is open is read on, as long as its chunks are there', async () => {
    const store = copyOfStore('sample');
    const { fs } = await openTree(store);
    const image = await inoAt(fs, 'vm/120/2021-05-24T16:09:24Z/drive-scsi0.img');
    const whole = sha256(await readAll(fs, image));
    const fresh = await openTree(store);
    const open = await fresh.fs.open(await inoAt(fresh.fs, 'vm/120/2021-05-24T16:09:24Z/drive-scsi0.img'));
    const parts = [Buffer.concat(await open.read(0, 1 << 20))];
    rmSync(join(store, 'vm/120/2021-05-24T16:09:24Z'), { recursive: true });
    await delay(700);
    await expect(entryAt(fresh.fs, namesOf('vm/120/2021-05-24T16:09:24Z'))).rejects.toThrow();
    for (let offset = 1 << 20; ; offset += 1 << 20) {
      const part = Buffer.concat(await open.read(offset, 1 << 20));
      if (part.length === 0) break;
      parts.push(part);
    }
    expect(sha256(Buffer.concat(parts))).toBe(whole);
  });

  test('notes, protection and a log that is added', async () => {
    const store = copyOfStore('sample');
    const snapshot = 'ct/113/2021-05-28T03:10:07Z';
    const { fs } = await openTree(store);
    const archive = await inoAt(fs, `${snapshot}/root.pxar`);
    expect((await factsAt(fs, snapshot))['notes']).toBeUndefined();
    changeManifest(join(store, snapshot), (manifest) => ({ ...manifest, unprotected: { ...manifest.unprotected, notes: 'new\nnotes' } }));
    writeFileSync(join(store, snapshot, '.protected'), '');
    await vi.waitFor(async () => {
      expect(await factsAt(fs, snapshot)).toMatchObject({ notes: 'new\nnotes', protected: 'true' });
      expect(JSON.parse((await contentAt(fs, `${snapshot}/index.json`)).toString())).toMatchObject({ unprotected: { notes: 'new\nnotes' } });
    }, within);
    // The archive is the same thing as before.
    expect(await inoAt(fs, `${snapshot}/root.pxar`)).toBe(archive);
    rmSync(join(store, snapshot, 'client.log.blob'), { force: true });
    await vi.waitFor(async () => {
      expect(await namesIn(fs, snapshot)).not.toContain('client.log');
    }, within);
    replaceFile(join(store, snapshot, 'client.log.blob'), encodeBlob(Buffer.from('a log')));
    await vi.waitFor(async () => {
      expect((await contentAt(fs, `${snapshot}/client.log`)).toString()).toBe('a log');
    }, within);
  });

  test('a snapshot that is replaced by another one of the same time is that other one', async () => {
    const store = copyOfStore('sample');
    const { fs } = await openTree(store);
    const path = 'ct/113/2021-05-24T16:41:32Z';
    const before = await inoAt(fs, `${path}/root.pxar`);
    rmSync(join(store, path), { recursive: true });
    cpSync(join(store, 'ct/113/2021-05-28T03:10:07Z'), join(store, path), { recursive: true });
    await vi.waitFor(async () => {
      expect(await inoAt(fs, `${path}/root.pxar`)).not.toBe(before);
    }, within);
    const [mine, other] = await Promise.all([path, 'ct/113/2021-05-28T03:10:07Z'].map(async (each) => (await listAll(fs, await inoAt(fs, `${each}/root.pxar/etc`))).map(({ name }) => name.toString())));
    expect(mine).toEqual(other);
  });

  test('groups and namespaces', async () => {
    const store = copyOfStore('sample');
    const { fs } = await openTree(store);
    expect(await namesIn(fs, 'ns')).toEqual(['prod']);
    mkdirSync(join(store, 'ns/test/vm/7/2024-01-01T00:00:00Z'), { recursive: true });
    rmSync(join(store, 'ct'), { recursive: true });
    await vi.waitFor(async () => {
      expect(await namesIn(fs, 'ns')).toEqual(['prod', 'test']);
      expect(await namesIn(fs, '')).toEqual(['host', 'vm', 'ns']);
      expect(await namesIn(fs, 'ns/test/vm/7')).toEqual(['2024-01-01T00:00:00Z']);
    }, within);
  });
});

describe('encrypted snapshots', () => {
  const encrypted = 'host/secret/2021-06-01T10:00:00Z';

  test('without the key they are listed and refuse to open, once in the log with the fingerprint', async () => {
    const { fs, log } = await openTree(storePath('vault'));
    expect(await namesIn(fs, encrypted)).toContain('root.pxar');
    expect((await factsAt(fs, encrypted))['fingerprint']).toBe(plainKey.fingerprintText);
    const archive = await entryAt(fs, namesOf(`${encrypted}/root.pxar`));
    expect(archive.attributes.mode & 0o170000).toBe(0o040000);
    for (let i = 0; i < 3; i++) {
      await expect(Promise.resolve().then(() => fs.openDirectory(archive.attributes.ino))).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
      await expect(contentAt(fs, `${encrypted}/secret.conf`)).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
    }
    await expect(contentAt(fs, 'vm/121/2021-06-01T11:00:00Z/drive-sata0.img')).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
    await expect(namesIn(fs, 'vm/121/2021-06-01T11:00:00Z/drive-sata0.img.parts')).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
    for (const name of ['root.pxar', 'secret.conf']) expect(log.filter((line) => line.includes(name)), name).toHaveLength(1);
    expect(log.every((line) => line.includes(plainKey.fingerprintText))).toBe(true);
    // What is not encrypted opens all the same.
    expect((await contentAt(fs, 'host/secret/2021-06-05T10:00:00Z/tiny.conf')).length).toBeGreaterThan(0);
    expect(await namesIn(fs, 'host/secret/2021-06-04T10:00:00Z/root.pxar')).not.toEqual([]);
    expect((await entryAt(fs, namesOf('vm/121/2021-06-01T11:00:00Z/drive-sata0.img'))).attributes.size).toBe((40 << 20) + 512);
  });

  test('with another key it is the same', async () => {
    const { fs, log } = await openTree(storePath('vault'), { keys: [passwordKey] });
    await expect(namesIn(fs, `${encrypted}/root.pxar`)).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
    expect(log[0]).toMatch(fingerprint);
    expect(await namesIn(fs, 'host/password/2021-06-01T12:00:00Z/root.pxar')).not.toEqual([]);
  });

  test('of several keys the one that fits is used', async () => {
    const { fs, log } = await openTree(storePath('vault'), { keys: [passwordKey, plainKey] });
    expect((await contentAt(fs, `${encrypted}/secret.conf`)).equals(readFileSync(expectedPath('vault', `${encrypted}/secret.conf`)))).toBe(true);
    expect(log).toEqual([]);
  });
});

describe('a manifest that is not what was signed', () => {
  const path = 'host/secret/2021-06-01T10:00:00Z';

  async function refusals(store: string, salvage = false): Promise<{ codes: (string | undefined)[]; log: string[]; facts: Record<string, string> }> {
    const { fs, log } = await openTree(store, { keys: [plainKey], salvage });
    const code = (use: Promise<unknown>): Promise<string | undefined> => use.then(() => 'opened', codeOf);
    const codes = [await code(namesIn(fs, `${path}/root.pxar`)), await code(contentAt(fs, `${path}/tiny.conf`)), await code(namesIn(fs, path))];
    // The neighbours are as they were.
    expect(await namesIn(fs, 'host/secret/2021-06-03T10:00:00Z/root.pxar')).not.toEqual([]);
    return { codes, log, facts: await factsAt(fs, `${path}/root.pxar`) };
  }

  test('refuses every archive and blob, and says so once', async () => {
    const store = copyOfStore('vault');
    changeManifest(join(store, path), (manifest) => ({ ...manifest, backupTime: manifest.backupTime + 1 }));
    const { codes, log } = await refusals(store);
    expect(codes).toEqual(['BAD_SIGNATURE', 'BAD_SIGNATURE', 'opened']);
    expect(log).toHaveLength(1);
    expect(log[0]).toContain(path);
  });

  test('opens with a mark when salvaging', async () => {
    const store = copyOfStore('vault');
    changeManifest(join(store, path), (manifest) => ({ ...manifest, signature: '0'.repeat(64) }));
    const { codes, facts } = await refusals(store, true);
    expect(codes).toEqual(['opened', 'opened', 'opened']);
    expect(facts['damaged']).toContain('is not what was signed');
  });

  test('signed anew it opens; without a key nobody can tell', async () => {
    const store = copyOfStore('vault');
    changeManifest(join(store, path), (manifest) => {
      const changed = { ...manifest, backupTime: manifest.backupTime + 1 };
      return { ...changed, signature: signManifest(changed, plainKey) };
    });
    expect((await refusals(store)).codes).toEqual(['opened', 'opened', 'opened']);
    changeManifest(join(store, 'host/secret/2021-06-04T10:00:00Z'), (manifest) => ({ ...manifest, backupTime: 1 }));
    const { fs } = await openTree(store);
    expect(await namesIn(fs, 'host/secret/2021-06-04T10:00:00Z/root.pxar')).not.toEqual([]);
  });

  test('is trusted again when it was put right', async () => {
    const store = copyOfStore('vault');
    const right = readFileSync(join(store, path, 'index.json.blob'));
    changeManifest(join(store, path), (manifest) => ({ ...manifest, signature: '0'.repeat(64) }));
    const { fs } = await openTree(store, { keys: [plainKey] });
    await expect(namesIn(fs, `${path}/root.pxar`)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' });
    await expect(contentAt(fs, `${path}/tiny.conf`)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' });
    replaceFile(join(store, path, 'index.json.blob'), right);
    await vi.waitFor(async () => {
      expect(await namesIn(fs, `${path}/root.pxar`)).not.toEqual([]);
      expect((await contentAt(fs, `${path}/tiny.conf`)).length).toBeGreaterThan(0);
    }, within);
  });
});

describe('manifests and files that do not fit', () => {
  const path = 'ct/113/2021-05-24T16:41:32Z';
  const whole = 'ct/113/2021-05-28T03:10:07Z';

  test.each([
    ['cut off', (bytes: Buffer) => bytes.subarray(0, 100)],
    ['empty', () => Buffer.alloc(0)],
    ['with a bit flipped', (bytes: Buffer) => bytes.fill((bytes[50] ?? 0) ^ 1, 50, 51)],
    ['no JSON', () => encodeBlob(Buffer.from('{"files": ['))],
    ['JSON of something else', () => encodeBlob(Buffer.from('[]'))],
    ['a file listed with a path', (bytes: Buffer) => bytes.length > 0 && encodeBlob(Buffer.from(JSON.stringify({ 'backup-type': 'ct', 'backup-id': '113', 'backup-time': 1, files: [{ filename: '../../x.blob', size: 1, csum: '0'.repeat(64) }] })))],
    ['a zip bomb', () => encodeBlob(Buffer.alloc(100 << 20))],
  ] as [string, (bytes: Buffer) => Buffer][])('a manifest that is %s: the snapshot can not be listed, its neighbours can', async (_, damage) => {
    const store = copyOfStore('sample');
    const manifest = join(store, path, 'index.json.blob');
    writeFileSync(manifest, damage(readFileSync(manifest)));
    const { fs, log } = await openTree(store);
    expect((await namesIn(fs, 'ct/113')).slice(0, 2)).toEqual([path.slice(7), whole.slice(7)]);
    await expect(namesIn(fs, path)).rejects.toMatchObject({ name: 'FormatError' });
    await expect(namesIn(fs, path)).rejects.toThrow();
    expect(log).toHaveLength(1);
    expect(log[0]).toContain(`${path}: its manifest can't be used`);
    expect(await namesIn(fs, `${whole}/root.pxar`)).not.toEqual([]);
  });

  test('a file that is listed but missing is left out and told once', async () => {
    const store = copyOfStore('sample');
    rmSync(join(store, path, 'root.pxar.didx'));
    rmSync(join(store, path, 'pct.conf.blob'));
    const { fs, log } = await openTree(store);
    const names = await namesIn(fs, path);
    expect(names).not.toContain('root.pxar');
    expect(names).not.toContain('pct.conf');
    expect(names).toContain('index.json');
    await delay(600);
    await namesIn(fs, path);
    expect(log).toHaveLength(2);
  });

  test('half of a split archive is missing: what is left says so', async () => {
    const store = copyOfStore('sample');
    rmSync(join(store, 'host/split/2021-05-25T20:00:00Z/data.ppxar.didx'));
    const { fs, log } = await openTree(store);
    await expect(namesIn(fs, 'host/split/2021-05-25T20:00:00Z/data.pxar')).rejects.toMatchObject({ code: expect.stringMatching(/NOT_FOUND|BAD_STRUCTURE/) as string });
    expect(log.length).toBeGreaterThan(0);
    expect(await namesIn(fs, 'host/split/2021-05-26T20:00:00Z/data.pxar')).not.toEqual([]);
  });

  test('a blob that is not the one of the manifest is refused, and marked when salvaging', async () => {
    const store = copyOfStore('sample');
    writeFileSync(join(store, path, 'pct.conf.blob'), encodeBlob(Buffer.from('other: 1\n')));
    const { fs, log } = await openTree(store);
    await expect(contentAt(fs, `${path}/pct.conf`)).rejects.toMatchObject({ code: 'MANIFEST_MISMATCH' });
    expect(log).toHaveLength(1);
    const salvaging = (await openTree(store, { salvage: true })).fs;
    expect((await contentAt(salvaging, `${path}/pct.conf`)).toString()).toBe('other: 1\n');
    expect((await factsAt(salvaging, `${path}/pct.conf`))['damaged']).toBeDefined();
  });

  test.each(['size', 'csum'] as const)('an image whose %s is not the one of the manifest is refused, and marked when salvaging', async (field) => {
    const store = copyOfStore('sample');
    const snapshot = 'vm/120/2021-05-24T16:09:24Z';
    changeManifest(join(store, snapshot), (manifest) => ({
      ...manifest,
      files: manifest.files.map((file) => (file.filename !== 'drive-scsi0.img.fidx' ? file : { ...file, ...(field === 'size' ? { size: file.size - 1 } : { csum: 'a'.repeat(64) }) })),
    }));
    const { fs, log } = await openTree(store);
    expect(await namesIn(fs, snapshot)).toContain('drive-scsi0.img');
    await expect(contentAt(fs, `${snapshot}/drive-scsi0.img`)).rejects.toMatchObject({ code: 'MANIFEST_MISMATCH' });
    await expect(namesIn(fs, `${snapshot}/drive-scsi0.img.parts`)).rejects.toMatchObject({ code: 'MANIFEST_MISMATCH' });
    expect(log).toHaveLength(1);
    expect((await contentAt(fs, `${snapshot}/drive-scsi1.img`)).length).toBe(23_376_384);
    const salvaging = (await openTree(store, { salvage: true })).fs;
    const { attributes } = await entryAt(salvaging, namesOf(`${snapshot}/drive-scsi0.img`));
    expect(attributes.size).toBe(96 << 20);
    expect((await contentAt(salvaging, `${snapshot}/drive-scsi0.img`)).length).toBe(96 << 20);
    expect((await factsAt(salvaging, `${snapshot}/drive-scsi0.img`))['damaged']).toContain('its manifest says');
    expect(await namesIn(salvaging, `${snapshot}/drive-scsi0.img.parts`)).toEqual(['p1', 'p2', 'p3']);
  });

  test.each([
    ['empty', () => Buffer.alloc(0)],
    ['cut off', (bytes: Buffer) => bytes.subarray(0, 4096 + 100)],
    ['of another kind', () => Buffer.from('1c914ea519bab3cd'.padEnd(10_000, '0'), 'hex')],
  ] as [string, (bytes: Buffer) => Buffer][])('an index that is %s is refused also when salvaging, and nothing else is', async (_, damage) => {
    const store = copyOfStore('sample');
    const index = join(store, 'vm/120/2021-05-24T16:09:24Z/drive-scsi0.img.fidx');
    writeFileSync(index, damage(readFileSync(index)));
    for (const salvage of [false, true]) {
      const { fs } = await openTree(store, { salvage });
      await expect(contentAt(fs, 'vm/120/2021-05-24T16:09:24Z/drive-scsi0.img')).rejects.toMatchObject({ name: 'FormatError' });
      expect((await entryAt(fs, namesOf('vm/120/2021-05-24T16:09:24Z/drive-scsi0.img'))).attributes.size).toBe(96 << 20);
      expect((await contentAt(fs, 'vm/120/2021-05-24T16:09:24Z/qemu-server.conf')).length).toBeGreaterThan(0);
    }
  });
});

test('open archives are kept and closed within bounds, and many readers of one file are right', async () => {
  const { fs } = await openTree(storePath('sample'), { cacheBytesMax: 16 << 20 });
  const path = 'vm/120/2021-05-24T16:23:02Z/drive-scsi1.img';
  const ino = await inoAt(fs, path);
  const whole = await readAll(fs, ino);
  const wrong = await Promise.all(
    Array.from({ length: 64 }, async (_, i) => {
      const file = await fs.open(ino);
      for (let round = 0; round < 10; round++) {
        const offset = (i * 7_919_333 + round * 1_300_001) % whole.length;
        const pieces = await file.read(offset, 131_072);
        if (!Buffer.concat(pieces).equals(whole.subarray(offset, offset + 131_072))) return offset;
      }
      file.close();
      return undefined;
    }),
  );
  expect(wrong.filter((offset) => offset !== undefined)).toEqual([]);
});
