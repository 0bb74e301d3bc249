/** Real file systems and block devices in files; they go when the test file ends. Root only. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { scratchDirectory } from './scratch.js';

const mounts: string[] = [];
const loops: string[] = [];
// Hooks run last first: file systems go before their directories do.
afterAll(() => {
  for (const path of mounts.splice(0).reverse()) execFileSync('umount', ['-l', path]);
  for (const device of loops.splice(0)) execFileSync('losetup', ['-d', device]);
});

type FileSystemType = 'ext4' | 'vfat' | 'tmpfs' | 'xfs' | 'btrfs';

/** Whether the kernel and a program for it are here; says so if not. */
export function canMake(type: FileSystemType): boolean {
  const known = new RegExp(`\\t${type}$`, 'm').test(readFileSync('/proc/filesystems', 'utf8'));
  const made = type === 'tmpfs' || hasProgram(`mkfs.${type}`);
  if (!known || !made) console.warn(`${known ? `mkfs.${type}` : `${type} in the kernel`} is not here: its tests are skipped`);
  return known && made;
}

function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

export interface FileSystemOptions {
  readonly megabytes: number;
  /** Of mkfs. */
  readonly options?: readonly string[];
  readonly mountOptions?: string;
}

/** Where a new one is mounted. */
export function mountedFileSystem(type: FileSystemType, { megabytes, options = [], mountOptions = 'rw' }: FileSystemOptions): string {
  const directory = scratchDirectory();
  const mountPoint = join(directory, 'mount');
  mkdirSync(mountPoint);
  if (type === 'tmpfs') {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `${mountOptions},size=${megabytes}m`, 'tmpfs', mountPoint]);
  } else {
    const image = join(directory, 'image');
    writeFileSync(image, '');
    truncateSync(image, megabytes << 20);
    const quiet = type === 'ext4' ? ['-q', '-F'] : [];
    execFileSync(`mkfs.${type}`, [...quiet, ...options, image], { stdio: ['ignore', 'ignore', 'inherit'] });
    execFileSync('mount', ['-t', type, '-o', `${mountOptions},loop`, image, mountPoint]);
  }
  mounts.push(mountPoint);
  return mountPoint;
}

/** A block device with this content. */
export function loopDevice(content: Buffer): string {
  const image = join(scratchDirectory(), 'device');
  writeFileSync(image, content);
  const device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
  loops.push(device);
  return device;
}
