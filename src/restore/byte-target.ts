/** Where the bytes of an image, a stream or a blob are written: a new file, one that is replaced, a block device, or a pipe. */
import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, openSync, statSync, unlinkSync } from 'node:fs';
import { zeros } from '../archive/zero-chunk.js';
import { codeOf, FileError, StoreError } from '../errors.js';
import { blockDeviceBytes } from '../os/block-device.js';
import { discardRange } from '../os/file-extents.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { SparseWriter, writeAll } from './sparse-writer.js';

export interface ByteTarget {
  /** In the order of positions. `bytes` is not used any more when this returns, or when what it returns resolves. */
  write(bytes: Buffer, position: number): MaybePromise<void>;
  zeros(position: number, length: number): MaybePromise<void>;
  /** Makes it durable. */
  finish(size: number): void;
  /** It will not be whole: what is new is removed. */
  abandon(): void;
}

export interface TargetOptions {
  readonly path: string;
  readonly size: number;
  readonly overwrite: boolean;
}

const newFileMode = 0o600;

/** EXISTS for a file that may not be replaced, EBUSY for a device in use, INVALID_ARGUMENT for what is too small or of no use. */
export function openByteTarget(options: TargetOptions): ByteTarget {
  const { path } = options;
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return fileTarget(path, openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, newFileMode));
  if (stat.isBlockDevice()) return deviceTarget(options);
  if (stat.isDirectory()) throw new FileError('IS_A_DIRECTORY', `${path} is a directory; name the file in it that is to be written`);
  if (!stat.isFile()) throw new FileError('INVALID_ARGUMENT', `${path} is no file or block device; '-' writes to standard output, for pipes`);
  if (!options.overwrite) throw new StoreError('EXISTS', `${path} exists: --overwrite replaces it`);
  const fd = openSync(path, constants.O_WRONLY);
  ftruncateSync(fd, 0);
  return fileTarget(path, fd);
}

function fileTarget(path: string, fd: number): ByteTarget {
  const writer = new SparseWriter(fd);
  return {
    write: (bytes, position) => writer.write(bytes, position),
    zeros: () => undefined,
    finish: (size) => {
      writer.finish(size);
      fsyncSync(fd);
      closeSync(fd);
    },
    abandon: () => {
      closeSync(fd);
      unlinkSync(path);
    },
  };
}

function deviceTarget({ path, size }: TargetOptions): ByteTarget {
  const fd = openDevice(path);
  try {
    if (!fstatSync(fd).isBlockDevice()) throw new FileError('INVALID_ARGUMENT', `${path} is no block device any more`);
    const bytes = blockDeviceBytes(fd);
    if (bytes < size) throw new FileError('INVALID_ARGUMENT', `${path} is too small: it has ${bytes} bytes, ${size} are to be written`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return {
    write: (bytes, position) => writeAll(fd, bytes, position),
    zeros: (position, length) => {
      for (let at = position; at < position + length; at += zeros.length) zeroRange(fd, at, Math.min(zeros.length, position + length - at));
    },
    finish: () => {
      fsyncSync(fd);
      closeSync(fd);
    },
    abandon: () => closeSync(fd),
  };
}

/** Exclusively: the kernel refuses what is mounted, a part of a RAID or swapped to. */
function openDevice(path: string): number {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_EXCL);
  } catch (error) {
    if (codeOf(error) !== 'EBUSY') throw error;
    throw Object.assign(new Error(`${path} is in use: unmount it, or whatever uses it, first`, { cause: error }), { code: 'EBUSY' });
  }
}

function zeroRange(fd: number, position: number, length: number): void {
  if (!discardRange(fd, position, length)) writeAll(fd, zeros.subarray(0, length), position);
}

/** `write` gets bytes of its own or views of nothing but zeros, and waits for whoever reads. */
export function pipeTarget(write: (bytes: Buffer) => Promise<void>): ByteTarget {
  return {
    write: (bytes) => write(Buffer.from(bytes)),
    zeros: async (_, length) => {
      for (let left = length; left > 0; left -= zeros.length) await write(zeros.subarray(0, Math.min(zeros.length, left)));
    },
    finish: () => undefined,
    abandon: () => undefined,
  };
}
