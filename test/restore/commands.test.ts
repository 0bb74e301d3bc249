/** The built commands `restore` and `tar`, as people and programs call them. */
import { execFileSync } from 'node:child_process';
import { chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { exitStatuses } from '../../src/cli/exit-status.js';
import { archiveOf, fifo, metadata } from '../support/archives.js';
import { eventually, isAlive, pbsfs, program, runProgram, start, type Ended } from '../support/command.js';
import { addFile, madeSnapshot, madeStore, writtenArchive } from '../support/made-stores.js';
import { noise, text } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { keyPath, storePath } from '../support/fixtures.js';

const nobody = 65_534;
const big = noise('big', 12 << 20);
const disk = Buffer.concat([noise('disk', 4 << 20), Buffer.alloc(8 << 20), Buffer.from('end')]);
/** More than is uploaded, but not when it is encoded. */
const large = text('large', 20_000_000);
const privileged = writtenArchive((writer) => {
  addFile(writer, 'own', 'own', { uid: nobody, gid: nobody });
  addFile(writer, 'other', 'other', { uid: 0, gid: 0, mode: 0o104755, flags: { hi: 0, lo: 0x40_0000 } });
  addFile(writer, 'trusted', '', { uid: nobody, gid: nobody, xattrs: [{ name: Buffer.from('trusted.x'), value: Buffer.alloc(1) }] });
  writer.addSpecial(Buffer.from('zero'), { kind: 'device', metadata: metadata('characterDevice'), device: { major: 1, minor: 5 } });
}, metadata('directory', 0o755, { uid: nobody, gid: nobody }));
const store = madeStore({
  archives: { root: archiveOf({ etc: { ssh: { config: 'c' }, passwd: 'p' }, fifo, link: { to: 'etc' } }, 2), big: archiveOf({ big, z: 'z' }), privileged },
  images: { 'disk.img': disk },
  blobs: { 'notes.conf': Buffer.from('notes'), 'large.log': large },
});
execFileSync('chmod', ['-R', 'a+rX', store]);

const restore = (...args: string[]): Promise<Ended> => pbsfs(['restore', '--store', store, madeSnapshot, ...args]);
const place = (): string => join(scratchDirectory(), 'target');
const events = (text: string): Record<string, unknown>[] => text.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);

test('an archive, named in every way', async () => {
  for (const [snapshot, archive] of [[madeSnapshot, 'root.pxar'], ['host/made/latest', 'root.mpxar.didx'], ['host/made/2021', 'root.mpxar']] as const) {
    const target = place();
    const { status, stderr, stdout } = await pbsfs(['restore', '--store', store, snapshot, archive, target]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    expect(stderr).toMatch(/^host\/made\/2021-01-01T00:00:00Z\/root\.pxar: restored 2 B in 2 files, 2 directories, 2 others/);
    expect(readFileSync(join(target, 'etc/ssh/config'), 'utf8')).toBe('c');
  }
});

test('a part of one, with events', async () => {
  const target = place();
  const { status, stdout, stderr } = await restore('root.pxar', target, '--pattern', '/etc/ssh/**', '--json');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(readdirSync(join(target, 'etc'))).toEqual(['ssh']);
  expect(events(stdout).at(-1)).toMatchObject({ event: 'finished', archive: 'root.pxar', files: 1, directories: 2, bytes: 1, warnings: 0, failures: 0 });
});

test('a blob of more than 16 MiB', async () => {
  const target = place();
  expect(await restore('large.log', target)).toMatchObject({ status: 0 });
  expect(readFileSync(target).equals(large)).toBe(true);
  const read = await pbsfs(['cat', store, `${madeSnapshot}/large.log`]);
  expect(read.stderr).toBe('');
  expect(read.bytes.equals(large)).toBe(true);
});

test('a target that is not empty: what was restored says the exit status', async () => {
  const target = place();
  mkdirSync(target);
  writeFileSync(join(target, 'fifo'), 'mine');
  expect(await restore('root.pxar', target)).toMatchObject({ status: exitStatuses.exists, stderr: expect.stringContaining('--allow-existing-dirs') as string });
  expect(await restore('root.pxar', target, '--allow-existing-dirs')).toMatchObject({ status: exitStatuses.failed, stderr: expect.stringContaining('failed: fifo: it is there already') as string });
  expect(readFileSync(join(target, 'fifo'), 'utf8')).toBe('mine');
  expect(await restore('root.pxar', target, '--overwrite')).toMatchObject({ status: 0 });
  expect(lstatSync(join(target, 'fifo')).isFIFO()).toBe(true);
});

test('images, blobs, the manifest, to files and to standard output', async () => {
  const target = place();
  expect((await restore('disk.img', target)).status).toBe(0);
  expect(readFileSync(target).equals(disk)).toBe(true);
  expect(await restore('disk.img', target)).toMatchObject({ status: exitStatuses.exists });
  expect((await restore('disk.img.fidx', target, '--overwrite')).status).toBe(0);
  expect((await restore('disk.img', '-')).bytes.equals(disk)).toBe(true);
  expect(await restore('notes.conf', '-')).toMatchObject({ status: 0, stdout: 'notes' });
  expect(JSON.parse((await restore('index.json', '-')).stdout)).toMatchObject({ 'backup-id': 'made' });
  expect((await restore('root.ppxar.didx', '-')).status).toBe(exitStatuses.usage);
});

test('the catalog and the log of a real snapshot, and an encrypted archive', async () => {
  const sample = (...args: string[]): Promise<Ended> => pbsfs(['restore', '--store', storePath('sample'), 'ct/113/latest', ...args]);
  expect((await sample('catalog.pcat1', '-')).bytes.subarray(0, 8).equals(Buffer.from([145, 253, 96, 249, 196, 103, 88, 213]))).toBe(true);
  expect((await sample('client.log', '-')).status).toBe(0);
  const vault = ['restore', '--store', storePath('vault'), 'host/secret/2021-06-01', 'root.pxar'];
  expect(await pbsfs([...vault, place()])).toMatchObject({ status: exitStatuses.noAccess });
  const key = join(scratchDirectory(), 'key.json');
  writeFileSync(key, readFileSync(keyPath('plain.json')), { mode: 0o600 });
  expect((await pbsfs([...vault, place(), '--keyfile', key])).status).toBe(0);
});

test('what makes no sense', async () => {
  expect(await restore('nothing.pxar', place())).toMatchObject({ status: exitStatuses.notFound, stderr: expect.stringContaining('root.pxar') as string });
  expect(await restore('root.pxar', '-')).toMatchObject({ status: exitStatuses.usage, stderr: expect.stringContaining('pbsfs tar') as string });
  expect(await restore('notes.conf', place(), '--no-owner')).toMatchObject({ status: exitStatuses.usage });
  expect(await restore('root.pxar', place(), '--pattern', '[')).toMatchObject({ status: exitStatuses.usage });
  expect(await restore('root.pxar', place(), '--pattern', '/nothing')).toMatchObject({ status: exitStatuses.notFound });
  expect(await pbsfs(['restore', '--store', store, 'host/made', 'root.pxar', place()])).toMatchObject({ status: exitStatuses.usage });
  expect(await pbsfs(['restore', madeSnapshot, 'root.pxar', place()])).toMatchObject({ status: exitStatuses.usage });
});

test('an ordinary user: told what could not be set, the rest is there', async () => {
  const home = scratchDirectory();
  chownSync(home, nobody, nobody);
  const command = ['--reuid', String(nobody), '--regid', String(nobody), '--clear-groups', process.execPath, program];
  const { status, stderr } = await runProgram('setpriv', [...command, 'restore', '--store', store, madeSnapshot, 'privileged.pxar', join(home, 'target')], { env: { HOME: home } });
  expect({ status, stderr }).toMatchObject({ status: exitStatuses.warnings });
  expect(stderr).toMatch(/other: its owner could not be restored: EPERM/);
  expect(stderr).toMatch(/other: its set-id bits could not be restored/);
  expect(stderr).toMatch(/other: its flags could not be restored: EPERM/);
  expect(stderr).toMatch(/trusted: its extended attributes could not be restored: EPERM/);
  expect(stderr).toMatch(/zero: this device could not be restored: EPERM/);
  expect(statSync(join(home, 'target/other'))).toMatchObject({ uid: nobody, mode: 0o100755 });
  expect(statSync(join(home, 'target/own'))).toMatchObject({ uid: nobody, mtimeMs: 1_600_000_000_123.4568 });
  expect(readFileSync(join(home, 'target/other'), 'utf8')).toBe('other');
});

test('Ctrl-C while a reader takes its time: once stops, twice ends at once', async () => {
  for (const [times, status] of [[1, exitStatuses.interrupted], [2, exitStatuses.interrupted]] as const) {
    const paced = start('bash', ['-c', `${process.execPath} ${program} restore --store ${store} ${madeSnapshot} disk.img - | (sleep 4; [ ${times} = 2 ] && sleep 60; cat >/dev/null); exit \${PIPESTATUS[0]}`]);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const pid = execFileSync('pgrep', ['-P', String(paced.child.pid), 'node'], { encoding: 'utf8' }).trim();
    process.kill(Number(pid), 'SIGINT');
    await paced.wrote(/SIGINT: stopping/);
    if (times === 2) {
      process.kill(Number(pid), 'SIGINT');
      await eventually(() => !isAlive(Number(pid)), 'the end of the program');
      execFileSync('pkill', ['-P', String(paced.child.pid)]);
    }
    expect(await paced.exited).toBe(status);
    if (times === 1) expect(paced.text()).toMatch(/interrupted/);
  }
});

describe('tar', () => {
  test('a part of an archive through GNU tar', async () => {
    const target = scratchDirectory();
    const line = `${process.execPath} ${program} tar --store ${store} ${madeSnapshot} root.pxar --pattern '/etc/ssh' | tar -xpC ${target}`;
    expect(await runProgram('bash', ['-o', 'pipefail', '-c', line])).toMatchObject({ status: 0, stderr: '' });
    expect(readdirSync(target)).toEqual(['etc']);
    expect(readFileSync(join(target, 'etc/ssh/config'), 'utf8')).toBe('c');
    expect(statSync(join(target, 'etc')).uid).toBe(1000);
  });

  test('a big file, and a reader that goes away', async () => {
    const ended = await pbsfs(['tar', '--store', store, madeSnapshot, 'big.pxar']);
    expect(ended.status).toBe(0);
    expect(execFileSync('tar', ['-xO', './big'], { input: ended.bytes, maxBuffer: 1 << 28 }).equals(big)).toBe(true);
    const line = `${process.execPath} ${program} tar --store ${store} ${madeSnapshot} big.pxar | head -c 1000 | wc -c; echo \${PIPESTATUS[0]}`;
    expect(await runProgram('bash', ['-c', line])).toMatchObject({ stdout: `1000\n${exitStatuses.outputClosed}\n`, stderr: '' });
  });

  test('flags are told of; images are refused', async () => {
    const ended = await pbsfs(['tar', '--store', store, madeSnapshot, 'privileged.pxar']);
    expect(ended).toMatchObject({ status: exitStatuses.warnings, stderr: expect.stringContaining('tar has no place') as string });
    expect((await pbsfs(['tar', '--store', store, madeSnapshot, 'disk.img'])).status).toBe(exitStatuses.usage);
  });
});
