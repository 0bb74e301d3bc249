/** Every file and every attribute of both fixture stores through real mounts, by system calls and the usual programs. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, chmodSync, lstatSync, openSync, readdirSync, readFileSync, readSync, closeSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kernelDriver } from '../../src/fuse/kernel-driver.js';
import { nativeDriver } from '../../src/fuse/native-driver.js';
import { pbsfs } from '../support/command.js';
import { expectedFiles, type ExpectedEntry, type ExpectedImage } from '../support/expected.js';
import { differences, expectedInodeFlags, expectedXattrs, inodeFlagsBelow, isUtf8, xattrsBelow } from '../support/expected-tree.js';
import { expectedJson, expectedLines, expectedPath, keyPath } from '../support/fixtures.js';
import { canMount, hasProgram } from '../support/mounted-everything.js';
import { mountAt, mountPlace, type MountPlace } from '../support/mounted-store.js';
import { segments } from '../support/perl.js';
import { scratchDirectory } from '../support/scratch.js';
import { placedStore, placedStores } from '../support/store-table.js';

const kinds = [
  { title: 'kernel driver', driver: kernelDriver, args: ['--allow-other'] },
  { title: 'fuse-native', driver: nativeDriver, args: ['--driver', 'fuse-native'] },
];
const directory = scratchDirectory();

describe.skipIf(!canMount).each(kinds)('$title', ({ driver, args }) => {
  const { capabilities } = driver;
  // What is on a server is read the same by each driver.
  const stores = placedStores.filter((placed) => driver === kernelDriver || placed.place === 'in a directory');
  describe.each(stores)('$store $place', (placed) => {
    const { store } = placed;
    let place: MountPlace;
    const at = (path: string): string => join(place.mountPoint, path);

    beforeAll(async () => {
      place = mountPlace();
      const keyArgs = store === 'vault' ? ['plain.json', 'password.json'].flatMap((name) => ['--keyfile', privateKey(name)]) : [];
      const mounted = await mountAt(place, await placedStore(placed), [...args, ...keyArgs], { env: { PBS_ENCRYPTION_PASSWORD: 'correct horse battery staple' } });
      expect(mounted.status, mounted.stderr).toBe(0);
    });
    afterAll(async () => {
      expect((await pbsfs(['umount', place.mountPoint])).status).toBe(0);
    });

    test.each(expectedFiles(store, '.pxar.jsonl'))('%s', (file) => {
      const root = at(file.replace(/\.jsonl$/, ''));
      const expected = expectedLines<ExpectedEntry>(store, file);
      expect(differences(root, expected, capabilities)).toEqual([]);
    });

    test.each(expectedFiles(store, '.pxar.jsonl'))('extended attributes and ACLs of %s', (file) => {
      if (!hasProgram('getfattr')) return;
      const root = at(file.replace(/\.jsonl$/, ''));
      const found = xattrsBelow(root);
      const expected = expectedLines<ExpectedEntry>(store, file);
      for (const line of expected) {
        const path = Buffer.from(line.path, 'base64');
        if (!capabilities.nonUtf8Names && !isUtf8(path)) continue;
        const attributes = Object.entries(expectedXattrs(line)).filter(([name]) => capabilities.nonUtf8Names || isUtf8(Buffer.from(name, 'latin1')));
        expect(found.get(line.path) ?? {}, line.name).toEqual(Object.fromEntries(attributes));
      }
    });

    test.each(expectedFiles(store, '.pxar.jsonl'))('chattr flags and project ids of %s', (file) => {
      if (!capabilities.inodeFlags) return;
      const expected = expectedLines<ExpectedEntry>(store, file);
      const found = inodeFlagsBelow(at(file.replace(/\.jsonl$/, '')), expected);
      for (const line of expected.filter(({ path }) => found.has(path))) expect(found.get(line.path), line.name).toBe(expectedInodeFlags(line));
    });

    test.each(expectedFiles(store, '.img.json'))('%s and its partitions', (file) => {
      const expected = expectedJson(store, file) as ExpectedImage;
      const image = at(file.replace(/\.json$/, ''));
      expect(digestOf(image)).toBe(expected.sha256);
      const stat = lstatSync(image);
      expect([stat.size, stat.mode & 0o7777]).toEqual([expected.size, 0o400]);
      const zeroBytes = expected.zero_chunks.length * (4 << 20);
      expect(stat.blocks * 512).toBeLessThanOrEqual(expected.size - zeroBytes + 512);
      const partitions = expected.partition_table === null ? [] : expected.partitions;
      expect(readdirSync(`${image}.parts`)).toEqual(partitions.map(({ number }) => `p${number}`));
      for (const { number, sha256, length } of partitions) {
        expect(lstatSync(`${image}.parts/p${number}`).size).toBe(length);
        expect(digestOf(`${image}.parts/p${number}`)).toBe(sha256);
      }
      if (!capabilities.seekHoles) return;
      const holes = new Set(expected.zero_chunks);
      for (const [start = 0, end = 0] of segments(image)) {
        for (let chunk = Math.floor(start / (4 << 20)); chunk * (4 << 20) < end; chunk++) expect(holes.has(chunk), `chunk ${chunk}`).toBe(false);
      }
      const dataBytes = segments(image).reduce((sum, [start = 0, end = 0]) => sum + end - start, 0);
      expect(dataBytes).toBe(expected.size - zeroBytes - (zeroTail(expected) ? expected.size % (4 << 20) : 0));
    });

    test.each([...expectedFiles(store, '.conf'), ...expectedFiles(store, 'client.log')])('%s', (file) => {
      expect(readFileSync(at(file)).equals(readFileSync(expectedPath(store, file)))).toBe(true);
    });

    test('facts as attributes of snapshots, archives and images', () => {
      if (!hasProgram('getfattr')) return;
      const facts = execFileSync('getfattr', ['-d', '-m', 'user.pbsfs', '--absolute-names', at(store === 'sample' ? 'vm/120' : 'host/secret')], { encoding: 'utf8' });
      expect(facts).toContain(store === 'sample' ? 'user.pbsfs.owner="root@pam"' : 'user.pbsfs.owner="backup@pbs"');
    });
  });
});

function zeroTail(image: ExpectedImage): boolean {
  return (image as ExpectedImage & { zero_tail?: boolean }).zero_tail === true;
}

/** Key files that others may read are warned of. */
function privateKey(name: string): string {
  const path = join(directory, name);
  copyFileSync(keyPath(name as 'plain.json'), path);
  chmodSync(path, 0o600);
  return path;
}

function digestOf(path: string): string {
  const hash = createHash('sha256');
  const file = openSync(path, 'r');
  const buffer = Buffer.alloc(1 << 20);
  for (let length = readSync(file, buffer); length > 0; length = readSync(file, buffer)) hash.update(buffer.subarray(0, length));
  closeSync(file);
  return hash.digest('hex');
}
