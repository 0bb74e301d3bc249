/** What people do with a mounted backup, with the programs that they use, and the results beside what was backed up. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kernelDriver } from '../../src/fuse/kernel-driver.js';
import { nativeDriver } from '../../src/fuse/native-driver.js';
import { pbsfs } from '../support/command.js';
import { expectedFiles, type ExpectedEntry, type ExpectedImage } from '../support/expected.js';
import { differences, expectedXattrs, isUtf8, xattrsBelow } from '../support/expected-tree.js';
import { sha256 } from '../support/file-system-reader.js';
import { expectedJson, expectedLines } from '../support/fixtures.js';
import { canMount, hasProgram } from '../support/mounted-everything.js';
import { mountAt, mountPlace, type MountPlace } from '../support/mounted-store.js';
import { scratchDirectory } from '../support/scratch.js';
import { placedStore } from '../support/store-table.js';

const kinds = [
  { title: 'kernel driver', driver: kernelDriver, args: ['--allow-other'], place: 'in a directory' },
  { title: 'kernel driver, store on a server', driver: kernelDriver, args: ['--allow-other'], place: 'on a server' },
  { title: 'fuse-native', driver: nativeDriver, args: ['--driver', 'fuse-native'], place: 'in a directory' },
] as const;
const run = promisify(execFile);
const image = 'vm/120/2021-05-24T16:09:24Z/drive-scsi0.img';

function shell(script: string, ...args: string[]): Buffer {
  return execFileSync('bash', ['-c', `set -euo pipefail; ${script}`, 'bash', ...args], { maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' } });
}

/** An ext4 whose files may have large extended attributes, mounted in `directory`. */
function newFileSystem(directory: string): string {
  const point = join(directory, 'targets');
  mkdirSync(point);
  shell('truncate -s 1G "$1" && mkfs.ext4 -q -O ea_inode "$1" && mount -o loop "$1" "$2"', join(directory, 'targets.ext4'), point);
  return point;
}

/** Programs that are not installed are named; nothing is skipped without a word. */
function has(...programs: string[]): boolean {
  const missing = programs.filter((program) => !hasProgram(program));
  if (missing.length > 0) console.warn(`not tested, for these are not installed: ${missing.join(', ')}`);
  return missing.length === 0;
}

describe.skipIf(!canMount || process.getuid?.() !== 0).each(kinds)('$title', ({ driver: { capabilities }, args, place: storeAt }) => {
  let place: MountPlace;
  let scratch: string;
  /** Where things are put back: a file system that holds all of what ext4 can. */
  let targets: string;
  const at = (path: string): string => join(place.mountPoint, path);

  beforeAll(async () => {
    scratch = scratchDirectory();
    targets = newFileSystem(scratch);
    place = mountPlace();
    const mounted = await mountAt(place, await placedStore({ store: 'sample', place: storeAt }), args);
    expect(mounted.status, mounted.stderr).toBe(0);
  });
  afterAll(async () => {
    execFileSync('umount', [targets]);
    const ended = await pbsfs(['umount', place.mountPoint]);
    expect(ended.status, ended.stderr).toBe(0);
  });

  /** Mounts a file with a file system for as long as `use` takes. */
  function withLoopMount(file: string, use: (directory: string) => void): void {
    const point = join(scratch, `loop-${readdirSync(scratch).length}`);
    mkdirSync(point);
    execFileSync('mount', ['-o', 'ro,loop,noload', file, point]);
    try {
      use(point);
    } finally {
      execFileSync('umount', [point]);
    }
  }

  const fileSystems = expectedFiles('sample', '.jsonl').filter((file) => /\.img\.(p[0-9]+|fs)\.jsonl$/.test(file));
  test.each(fileSystems)('loop-mounting the file system of %s', (file) => {
    const [, base = '', part = ''] = /^(.*\.img)\.(p[0-9]+|fs)\.jsonl$/.exec(file) ?? [];
    withLoopMount(at(part === 'fs' ? base : `${base}.parts/${part}`), (point) => {
      const expected = expectedLines<ExpectedEntry>('sample', file);
      expect(expected.length).toBeGreaterThan(20);
      const found = differences(point, expected.filter(({ path }) => path !== ''));
      expect(found).toEqual([]);
    });
  });

  test('a loop device over an image', () => {
    const device = execFileSync('losetup', ['--find', '--show', '--partscan', '--read-only', at(image)], { encoding: 'utf8' }).trim();
    try {
      const expected = expectedJson('sample', `${image}.json`) as ExpectedImage;
      expect(sha256(execFileSync('cat', [device], { maxBuffer: 1 << 28 }))).toBe(expected.sha256);
      const table = execFileSync('partx', ['--raw', '--noheadings', '--output', 'NR,START,SECTORS', device], { encoding: 'utf8' }).trim();
      expect(table.split('\n')).toEqual(expected.partitions.map(({ number, start, length }) => `${number} ${start / 512} ${length / 512}`));
      const name = device.slice('/dev/'.length);
      const supported = existsSync(`/sys/block/${name}/${name}p1`);
      if (!supported) console.warn('this kernel was built without partition tables: /dev/loopNpM is not tested');
      for (const { number, start } of supported ? expected.partitions : []) {
        expect(Number(readFileSync(`/sys/block/${name}/${name}p${number}/start`, 'utf8'))).toBe(start / 512);
      }
    } finally {
      execFileSync('losetup', ['--detach', device]);
    }
  });

  const archives: string[] = ['ct/113/2021-05-24T16:41:32Z/root.pxar', 'host/odd/2021-05-25T08:00:00Z/odd.pxar', 'host/split/2021-05-26T20:00:00Z/data.pxar'];
  const shown = (archive: string): ExpectedEntry[] =>
    expectedLines<ExpectedEntry>('sample', `${archive}.jsonl`).filter(({ path }) => capabilities.nonUtf8Names || isUtf8(Buffer.from(path, 'base64')));
  /** A link target or the name of an attribute that the driver can't carry makes programs fail for that file. */
  const isCarried = (line: ExpectedEntry): boolean => {
    const names = Object.keys(expectedXattrs(line)).map((name) => Buffer.from(name, 'latin1'));
    return capabilities.nonUtf8Names || [Buffer.from(line.target ?? '', 'base64'), ...names].every(isUtf8);
  };
  const excludes = (archive: string): string[] => shown(archive).filter((line) => !isCarried(line)).map(({ path }) => `--exclude=./${Buffer.from(path, 'base64').toString()}`);

  /** Tree and attributes that were put into `target`. */
  function expectTree(target: string, expected: readonly ExpectedEntry[]): void {
    // As many names of one file as were carried.
    const names = ({ link }: ExpectedEntry): number => expected.filter((other) => other.link === link).length;
    const linked = expected.map((line) => (line.link === undefined ? line : { ...line, nlink: names(line) }));
    expect(differences(target, linked, { ...capabilities, inode64: true })).toEqual([]);
    const found = xattrsBelow(target);
    for (const line of expected) expect(found.get(line.path) ?? {}, line.name).toEqual(expectedXattrs(line));
  }

  test.each(archives)('find -ls finds all of %s', (archive) => {
    const found = shell('find "$1" -ls | wc -l; find "$1" -print0 | tr -dc "\\0" | wc -c', at(archive)).toString().trim().split('\n');
    expect(Number(found[1])).toBe(shown(archive).length);
    expect(Number(found[0])).toBeGreaterThanOrEqual(shown(archive).length);
  });

  test.each(archives)('tar takes all of %s out of it and puts it back elsewhere', (archive) => {
    const target = join(targets, `tar-${archive.replaceAll('/', '-')}`);
    mkdirSync(target);
    const attributes = "--xattrs --xattrs-include='*' --acls";
    const pack = `tar --format=posix ${attributes} --warning=no-file-ignored "\${@:3}" -C "$1" -cf - .`;
    shell(`${pack} | tar ${attributes} --numeric-owner -p --warning=no-timestamp -C "$2" -xf -`, at(archive), target, ...excludes(archive));
    expectTree(target, shown(archive).filter((line) => line.type !== 'socket' && isCarried(line)));
  });

  test.each(archives)('rsync -aAXH out of %s compares clean', (archive) => {
    if (!has('rsync')) return;
    const target = join(targets, `rsync-${archive.replaceAll('/', '-')}`);
    const options = ['-aAXH', '--numeric-ids', '--filter=-x user.pbsfs.*', ...excludes(archive).map((option) => option.replace('=./', '=/'))];
    execFileSync('rsync', [...options, `${at(archive)}/`, `${target}/`]);
    expectTree(target, shown(archive).filter(isCarried));
    const again = execFileSync('rsync', [...options, '--dry-run', '--itemize-changes', '--checksum', '--delete', `${at(archive)}/`, `${target}/`], { encoding: 'latin1' });
    expect(again).toBe('');
  });

  const expectedImage = expectedJson('sample', `${image}.json`) as ExpectedImage;
  const dataBytes = expectedImage.size - expectedImage.zero_chunks.length * (4 << 20);

  test('cp skips the holes of an image', () => {
    expect(expectedImage.zero_chunks.length).toBeGreaterThan(5);
    const copy = join(scratch, 'copy.img');
    execFileSync('cp', ['--sparse=auto', at(image), copy]);
    expect(sha256(readFileSync(copy))).toBe(expectedImage.sha256);
    if (capabilities.seekHoles) expect(statSync(copy).blocks * 512).toBeLessThanOrEqual(dataBytes + (1 << 20));
  });

  test('tar -S stores no holes', () => {
    const bytes = shell('tar -S -C "$1" -cf - drive-scsi0.img | wc -c', at('vm/120/2021-05-24T16:09:24Z'));
    if (capabilities.seekHoles) expect(Number(bytes)).toBeLessThanOrEqual(dataBytes + (1 << 20));
    else expect(Number(bytes)).toBeLessThanOrEqual(expectedImage.size + (1 << 20));
  });

  test('qemu-img sees the holes and converts the image', () => {
    if (!has('qemu-img')) return;
    const map = JSON.parse(execFileSync('qemu-img', ['map', '--output=json', '--format', 'raw', at(image)], { encoding: 'utf8' })) as { start: number; length: number; data: boolean }[];
    const mapped = map.filter(({ data }) => data).reduce((sum, { length }) => sum + length, 0);
    if (capabilities.seekHoles) expect(mapped).toBe(dataBytes);
    const copy = join(scratch, 'copy.qcow2');
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', at(image), copy]);
    execFileSync('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', at(image), copy]);
  });

  test('getfacl prints the entries that the source had', () => {
    if (!has('getfacl')) return;
    const lines = shown(archives[1] ?? '').filter(({ acl, path }) => acl !== undefined && isUtf8(Buffer.from(path, 'base64')));
    expect(lines.length).toBeGreaterThan(3);
    for (const { path, acl, name } of lines) {
      const text = execFileSync('getfacl', ['-n', '-p', '--omit-header', '--no-effective', '--', at(`${archives[1] ?? ''}/${Buffer.from(path, 'base64').toString()}`)], { encoding: 'utf8' });
      const entries = text.split('\n').filter((entry) => entry !== '').map((entry) => entry.replace(/\s+#.*$/, ''));
      const expected = [...(acl?.access?.text ?? []), ...(acl?.default?.text ?? []).map((entry) => (entry.startsWith('default:') ? entry : `default:${entry}`))];
      for (const entry of expected) expect(entries, name).toContain(entry);
    }
  });

  test('lsattr prints the flags that the source had', () => {
    if (!capabilities.inodeFlags || !has('lsattr')) return;
    const letters: Record<string, string> = { append: 'a', noatime: 'A', nodump: 'd', dirsync: 'D', immutable: 'i', sync: 'S' };
    const lines = shown(archives[1] ?? '').filter(({ flags, path }) => flags?.every((flag) => flag in letters) === true && isUtf8(Buffer.from(path, 'base64')));
    expect(lines.length).toBeGreaterThan(2);
    for (const { path, flags = [], name } of lines) {
      const text = execFileSync('lsattr', ['-d', at(`${archives[1] ?? ''}/${Buffer.from(path, 'base64').toString()}`)], { encoding: 'utf8' });
      const found = [...(text.split(' ')[0] ?? '')].filter((letter) => letter !== '-').sort().join('');
      expect(found, name).toBe(flags.map((flag) => letters[flag]).sort().join(''));
    }
  });

  test('64 programs at once read the right bytes', async () => {
    const files = shown(archives[0] ?? '').filter(({ type, path, size = 0 }) => type === 'file' && size > 0 && isUtf8(Buffer.from(path, 'base64')));
    const jobs = Array.from({ length: 64 }, async (_, i) => {
      const own = Array.from({ length: 8 }, (__, j) => files[(i * 37 + j * 11) % files.length]).filter((line) => line !== undefined);
      const paths = own.map(({ path }) => at(`${archives[0] ?? ''}/${Buffer.from(path, 'base64').toString()}`));
      const images = i % 16 === 0 ? [at(image)] : [];
      const { stdout } = await run('sha256sum', ['--zero', ...paths, ...images], { maxBuffer: 1 << 24 });
      const digests = stdout.split('\0').map((line) => line.slice(0, 64)).filter((line) => line !== '');
      expect(digests).toEqual([...own.map((line) => line.sha256), ...images.map(() => expectedImage.sha256)]);
    });
    await Promise.all(jobs);
  });

  test('the links of a tree are as many as it says', () => {
    const links = shown(archives[1] ?? '').filter(({ nlink, type }) => type === 'file' && (nlink ?? 1) > 1);
    expect(links.length).toBeGreaterThan(2);
    for (const { path, nlink } of links) expect(lstatSync(Buffer.concat([Buffer.from(`${at(archives[1] ?? '')}/`), Buffer.from(path, 'base64')])).nlink).toBe(nlink);
  });
});
