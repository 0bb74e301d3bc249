/** What the spool of a mount has of a staged file: whether it is a clone, and what it takes. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { getXattr } from '../../src/os/xattrs.js';
import type { StagedMount } from './staged-mount.js';

const factName = Buffer.from('user.pbsfs.clone');

/** Where the spool has what is at `path` of the staging directory of a group. */
export function spooled({ spool }: Pick<StagedMount, 'spool'>, group: string, path = ''): string {
  const [datastore = ''] = readdirSync(spool).filter((name) => name !== 'lost+found');
  return join(spool, datastore, 'groups', group.replaceAll('/', ':'), 'top', path);
}

export function isClone(path: string): boolean {
  const fd = openSync(path, 'r');
  try {
    return getXattr(fd, factName) !== undefined;
  } finally {
    closeSync(fd);
  }
}

/** Bytes that the files below a directory take on disk. */
export function bytesTaken(directory: string): number {
  const blocks = execFileSync('find', [directory, '-type', 'f', '-printf', '%b\n'], { encoding: 'latin1' });
  return blocks.split('\n').reduce((sum, line) => sum + Number(line) * 512, 0);
}

export function chunkFiles(store: string): string[] {
  return readdirSync(join(store, '.chunks'), { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('/'));
}
