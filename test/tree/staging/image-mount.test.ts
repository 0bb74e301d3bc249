/** A staged image that is mounted, and the programs that write images. */
import { execFileSync, fork } from 'node:child_process';
import { closeSync, copyFileSync, fsyncSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { EncryptionKey } from '../../../src/crypto/encryption-key.js';
import { encodeFixedIndex } from '../../../src/format/fixed-index.js';
import { canMount, hasProgram, makeMountPoint, MountedEverything } from '../../support/mounted-everything.js';
import { emptyStore } from '../../support/new-snapshots.js';
import { noise, text } from '../../support/random.js';
import { scratchDirectory } from '../../support/scratch.js';
import { backupOf, chunkBytes, digestsOf, mebibyte } from '../../support/staged-images.js';

const program = new URL('../../support/staged-image-mount.js', import.meta.url).pathname;
const key = new EncryptionKey(Buffer.alloc(32, 8));
const isRoot = process.getuid?.() === 0;

interface Finished {
  readonly size: number;
  readonly digests: string;
  readonly dirtyBytes: number;
  readonly spooledChunksMost: number;
  readonly writersOpen: number;
}

class MountedImage {
  readonly store = emptyStore();
  readonly directory = join(scratchDirectory(), 'state');
  readonly #key: EncryptionKey | undefined;
  #mounted: MountedEverything | undefined;

  constructor(imageKey?: EncryptionKey) {
    this.#key = imageKey;
    onTestFinished(() => this.#clear());
  }

  get #running(): MountedEverything {
    if (this.#mounted === undefined) throw new Error('not mounted');
    return this.#mounted;
  }

  get disk(): string {
    return join(this.#running.mountPoint, 'disk.img');
  }

  get source(): string {
    return join(this.#running.mountPoint, 'source.img');
  }

  async mount(more: { index?: string; roomsMax?: number; spooledChunksMax?: number } = {}): Promise<void> {
    const mountPoint = makeMountPoint();
    const digits = this.#key === undefined ? {} : { key: this.#key.encKey.toString('hex') };
    const options = { store: this.store, directory: this.directory, mountPoint, ...digits, ...more };
    this.#mounted = new MountedEverything(mountPoint, fork(program, [JSON.stringify(options)], { cwd: '/' }));
    const { event, error } = await this.#mounted.message('mounted', 'failed');
    if (event !== 'mounted') throw new Error(`not mounted: ${error?.message}`);
  }

  async finish(): Promise<Finished> {
    const answer = await this.#running.ask('finish', {}, 'finished', 'failed');
    expect(answer.event, JSON.stringify(answer)).toBe('finished');
    return answer as unknown as Finished;
  }

  /** It is as a backup of a file with this content. */
  async expectFinished(content: Buffer): Promise<Finished> {
    const finished = await this.finish();
    expect(finished.writersOpen).toBe(0);
    expect(finished.digests === digestsOf(await backupOf(content, { store: this.store, key: this.#key })).toString('hex')).toBe(true);
    return finished;
  }

  async kill(): Promise<void> {
    this.#running.child.kill('SIGKILL');
    await this.#clear();
  }

  async unmount(): Promise<void> {
    this.#running.child.kill('SIGTERM');
    const late = setTimeout(30_000, 'still mounted after 30 s', { ref: false });
    expect(await Promise.race([this.#running.exited, late])).toBe(0);
    expect(this.#running.messages.filter(({ event }) => event === 'log')).toEqual([]);
    await this.#clear();
  }

  async #clear(): Promise<void> {
    const mounted = this.#mounted;
    this.#mounted = undefined;
    await mounted?.clear();
  }
}

function run(command: string, ...args: string[]): string {
  const env = { ...process.env, LC_ALL: 'C' };
  return execFileSync(command, args, { cwd: '/', encoding: 'utf8', timeout: 100_000, stdio: ['ignore', 'pipe', 'pipe'], env });
}

function plainFile(content: Buffer): string {
  const path = join(scratchDirectory(), 'plain');
  writeFileSync(path, content);
  return path;
}

/** Programs that are not installed are named; nothing is skipped without a word. */
function has(...programs: string[]): boolean {
  const missing = programs.filter((each) => !hasProgram(each));
  if (missing.length > 0) console.warn(`not tested, for these are not installed: ${missing.join(', ')}`);
  return missing.length === 0;
}

describe.skipIf(!canMount).each([{ title: 'plain', imageKey: undefined }, { title: 'encrypted', imageKey: key }])('$title', ({ imageKey }) => {
  test.each(['bs=4M', 'bs=1M', 'bs=1000 count=20000', 'bs=64k conv=sparse', 'bs=4M oflag=direct', 'bs=1M conv=fsync'])(
    'dd %s',
    { timeout: 120_000 },
    async (typed) => {
      const options = typed.split(' ');
      const end = noise('end', options.includes('oflag=direct') ? mebibyte : 12_345);
      const content = Buffer.concat([noise('dd', 9 * mebibyte), Buffer.alloc(9 * mebibyte), text('dd', 6 * mebibyte), end]);
      const copied = options.includes('bs=1000') ? content.subarray(0, 20_000_000) : content;
      const image = new MountedImage(imageKey);
      await image.mount();
      const path = plainFile(content);
      run('dd', `if=${path}`, `of=${image.disk}`, 'conv=notrunc', ...options);
      expect(readFileSync(image.disk).equals(copied)).toBe(true);
      const { spooledChunksMost } = await image.expectFinished(copied);
      expect(spooledChunksMost).toBeLessThanOrEqual(8);
      await image.unmount();
      await image.mount();
      expect(readFileSync(image.disk).equals(copied)).toBe(true);
      await image.unmount();
    },
  );

  test('cp of an image of a snapshot takes no data; a change of it is all that is new', { timeout: 120_000 }, async () => {
    const image = new MountedImage(imageKey);
    const content = Buffer.concat([noise('cp', 10 * mebibyte), Buffer.alloc(12 * mebibyte), noise('more', 3 * mebibyte + 9)]);
    const index = await backupOf(content, { store: image.store, key: imageKey });
    const indexPath = plainFile(
      encodeFixedIndex({ uuid: Buffer.alloc(16), ctime: 0, size: index.size, chunkSize: chunkBytes, digests: digestsOf(index) }),
    );
    await image.mount({ index: indexPath });
    run('cp', '--reflink=auto', image.source, image.disk);
    expect(readFileSync(image.disk).equals(content)).toBe(true);
    expect(await image.expectFinished(content)).toMatchObject({ dirtyBytes: 0, spooledChunksMost: 0 });
    const fd = openSync(image.disk, 'r+');
    writeSync(fd, 'changed', 5 * mebibyte);
    closeSync(fd);
    content.write('changed', 5 * mebibyte);
    expect(await image.expectFinished(content)).toMatchObject({ dirtyBytes: chunkBytes });
    await image.unmount();
  });

  test('what was closed or synced before a kill is there', { timeout: 120_000 }, async () => {
    const image = new MountedImage(imageKey);
    await image.mount({ spooledChunksMax: 4 });
    const content = noise('kill', 13 * mebibyte);
    writeFileSync(image.disk, content);
    const fd = openSync(image.disk, 'r+');
    writeSync(fd, 'synced', 4 * mebibyte - 3);
    fsyncSync(fd);
    content.write('synced', 4 * mebibyte - 3);
    await image.kill();
    expect(() => closeSync(fd)).toThrow(/ENOTCONN/);
    await image.mount({ spooledChunksMax: 4 });
    expect(readFileSync(image.disk).equals(content)).toBe(true);
    await image.expectFinished(content);
    await image.unmount();
  });
});

describe.skipIf(!canMount)('programs', () => {
  test('qemu-img convert, and compare', { timeout: 120_000 }, async () => {
    if (!has('qemu-img')) return;
    const image = new MountedImage();
    await image.mount();
    const content = Buffer.concat([text('qemu', 7 * mebibyte), Buffer.alloc(20 * mebibyte), noise('qemu', 3 * mebibyte)]);
    const path = plainFile(content);
    const compressed = `${path}.qcow2`;
    run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-c', path, compressed);
    run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', compressed, image.disk);
    expect(run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', path, image.disk)).toContain('identical');
    expect(statSync(image.disk).blocks * 512).toBeLessThan(content.length);
    await image.expectFinished(content);
    // Also as a target that is there, written out of order.
    run('qemu-img', 'convert', '-n', '-W', '-m', '8', '-f', 'qcow2', '-O', 'raw', compressed, image.disk);
    await image.expectFinished(content);
    await image.unmount();
  });

  test('fio writes at random places, verifies, and again after it was mounted anew', { timeout: 240_000 }, async () => {
    if (!has('fio')) return;
    const image = new MountedImage();
    await image.mount({ spooledChunksMax: 4, roomsMax: 8 });
    const writes = ['--name=x', '--size=48m', '--bsrange=512-256k', '--rw=randwrite', '--randseed=7'];
    const job = [...writes, '--verify=crc32c', '--ioengine=psync', '--allow_file_create=0', '--minimal'];
    run('truncate', '-s', '48M', image.disk);
    run('fio', ...job, `--filename=${image.disk}`, '--fsync=64', '--verify_fatal=1');
    const content = readFileSync(image.disk);
    const { spooledChunksMost } = await image.expectFinished(content);
    expect(spooledChunksMost).toBeLessThanOrEqual(4);
    await image.unmount();
    await image.mount();
    expect(readFileSync(image.disk).equals(content)).toBe(true);
    await image.unmount();
  });

  test.skipIf(!isRoot)('a file system is made in it, mounted, used, and whole', { timeout: 240_000 }, async () => {
    if (!has('mkfs.ext4', 'e2fsck', 'losetup')) return;
    const image = new MountedImage();
    await image.mount({ spooledChunksMax: 8 });
    run('truncate', '-s', '96M', image.disk);
    run('mkfs.ext4', '-q', '-F', image.disk);
    const point = join(scratchDirectory(), 'ext4');
    mkdirSync(point);
    const contents = Array.from({ length: 40 }, (_, i) => noise(`ext4 ${i}`, 100_000 + i * 9000));
    run('mount', '-o', 'loop,discard', image.disk, point);
    try {
      for (const [i, content] of contents.entries()) writeFileSync(join(point, `file ${i}`), content);
      run('sync', '-f', point);
      for (let i = 0; i < 40; i += 3) run('rm', join(point, `file ${i}`));
      run('fstrim', point);
      for (const [i, content] of contents.entries()) if (i % 3 !== 0) expect(readFileSync(join(point, `file ${i}`)).equals(content)).toBe(true);
    } finally {
      run('umount', point);
    }
    run('e2fsck', '-f', '-n', image.disk);
    const copy = join(scratchDirectory(), 'copy');
    copyFileSync(image.disk, copy);
    const content = readFileSync(copy);
    await image.expectFinished(content);
    await image.unmount();
    await image.mount();
    run('mount', '-o', 'loop,ro', image.disk, point);
    try {
      for (const [i, each] of contents.entries()) if (i % 3 !== 0) expect(readFileSync(join(point, `file ${i}`)).equals(each)).toBe(true);
    } finally {
      run('umount', point);
    }
    await image.unmount();
  });
});
