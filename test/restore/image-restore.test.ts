import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { SnapshotContent } from '../../src/archive/snapshot-contents.js';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { openByteTarget, pipeTarget, type ByteTarget } from '../../src/restore/byte-target.js';
import { restoreImage } from '../../src/restore/image-restore.js';
import { loopDevice, mountedFileSystem } from '../support/file-systems.js';
import { madeSnapshot, madeStore } from '../support/made-stores.js';
import { noise } from '../support/random.js';
import { openedStore } from '../support/restored.js';
import { scratchDirectory } from '../support/scratch.js';
import { segments } from '../support/perl.js';

const chunk = 4 << 20;
/** Data, many chunks of zeros, data in which there are zeros, and an odd end. */
const image = Buffer.concat([noise('1', chunk), Buffer.alloc(6 * chunk), noise('2', chunk / 2), Buffer.alloc(chunk / 2), noise('3', chunk), Buffer.alloc(5000)]);
const failing = (code: string): Error => expect.objectContaining({ code }) as Error;

async function restoredImage(openTarget: (size: number) => ByteTarget, { content = image, lose, signal }: { content?: Buffer; lose?: number; signal?: AbortSignal } = {}): Promise<number> {
  const directory = madeStore({ images: { 'disk.img': content } });
  if (lose !== undefined) rmSync(join(directory, chunkPath(chunkDigest(content.subarray(lose * chunk, (lose + 1) * chunk), undefined))));
  const opened = await openedStore(directory);
  onTestFinished(() => opened.close());
  const found = (await opened.content(madeSnapshot, 'disk.img')) as SnapshotContent;
  const state = await opened.state(madeSnapshot);
  const bytes: number[] = [];
  const observer = { progress: (figures: { bytes: number; bytesTotal: number }) => void bytes.push(figures.bytes) };
  const size = await restoreImage({ context: opened.context, state, content: found, openTarget, observer, ...(signal && { signal }) });
  expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
  expect(bytes.at(-1)).toBe(content.length);
  return size;
}

const toPath = (path: string, overwrite = false) => (size: number): ByteTarget => openByteTarget({ path, size, overwrite });

describe('a file', () => {
  test('is new and sparse', async () => {
    const path = join(scratchDirectory(), 'disk');
    expect(await restoredImage(toPath(path))).toBe(image.length);
    expect(readFileSync(path).equals(image)).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(segments(path)).toEqual([[0, chunk], [7 * chunk, 7.5 * chunk], [8 * chunk, 9 * chunk]]);
  });

  test('that exists is refused as it is, and replaced with --overwrite, zeros and all', async () => {
    const path = join(scratchDirectory(), 'disk');
    writeFileSync(path, Buffer.alloc(image.length + 10_000, 1));
    await expect(restoredImage(toPath(path))).rejects.toThrow(/exists: --overwrite/);
    expect(statSync(path).size).toBe(image.length + 10_000);
    await restoredImage(toPath(path, true));
    expect(readFileSync(path).equals(image)).toBe(true);
  });

  test('of zeros alone', async () => {
    const content = Buffer.alloc(2 * chunk + 512);
    const path = join(scratchDirectory(), 'disk');
    await restoredImage(toPath(path), { content });
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(segments(path)).toEqual([]);
  });

  test('that can not be whole is removed', async () => {
    const path = join(scratchDirectory(), 'disk');
    await expect(restoredImage(toPath(path), { lose: 8 })).rejects.toThrow(failing('CHUNK_MISSING'));
    expect(existsSync(path)).toBe(false);
    await expect(restoredImage(toPath(path), { signal: AbortSignal.abort() })).rejects.toThrow(failing('INTERRUPTED'));
    expect(existsSync(path)).toBe(false);
    const small = join(mountedFileSystem('tmpfs', { megabytes: 6 }), 'disk');
    await expect(restoredImage(toPath(small))).rejects.toThrow(failing('ENOSPC'));
    expect(existsSync(small)).toBe(false);
  });

  test('what is no file', async () => {
    const directory = scratchDirectory();
    mkdirSync(join(directory, 'd'));
    execFileSync('mkfifo', [join(directory, 'p')]);
    symlinkSync('nowhere/at/all', join(directory, 's'));
    await expect(restoredImage(toPath(join(directory, 'd'), true))).rejects.toThrow(failing('IS_A_DIRECTORY'));
    await expect(restoredImage(toPath(join(directory, 'p'), true))).rejects.toThrow(failing('INVALID_ARGUMENT'));
    await expect(restoredImage(toPath('/dev/null', true))).rejects.toThrow(failing('INVALID_ARGUMENT'));
    await expect(restoredImage(toPath(join(directory, 's'), true))).rejects.toThrow(failing('EEXIST'));
  });
});

describe('a block device', () => {
  test('gets everything, zeros too; what is behind stays', async () => {
    const device = loopDevice(Buffer.alloc(image.length + 5 * 4096 - (image.length % 4096), 1));
    await restoredImage(toPath(device));
    const found = readFileSync(device);
    expect(found.subarray(0, image.length).equals(image)).toBe(true);
    expect(found.subarray(image.length).every((byte) => byte === 1)).toBe(true);
  });

  test('that is too small, or in use, is not touched', async () => {
    const device = loopDevice(Buffer.alloc(chunk, 1));
    await expect(restoredImage(toPath(device))).rejects.toThrow(/too small: it has 4194304 bytes/);
    expect(readFileSync(device).every((byte) => byte === 1)).toBe(true);
    const mounted = mountedFileSystem('ext4', { megabytes: 64 });
    const source = execFileSync('findmnt', ['-n', '-o', 'SOURCE', mounted], { encoding: 'utf8' }).trim();
    await expect(restoredImage(toPath(source))).rejects.toThrow(/in use/);
  });
});

test('a pipe gets every byte, and is waited for', async () => {
  const pieces: Buffer[] = [];
  let writing = 0;
  await restoredImage(() => pipeTarget(async (bytes) => {
    expect(++writing).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    pieces.push(Buffer.from(bytes));
    writing--;
  }));
  expect(Buffer.concat(pieces).equals(image)).toBe(true);
});
