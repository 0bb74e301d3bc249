/** Removing what was staged, whatever it was: files that may not be changed have to be freed first. */
import { closeSync, constants, openSync, readdirSync, rmSync } from 'node:fs';
import { getInodeFlags, setInodeFlags } from '../../os/inode-flags.js';

const immutable = 0x10;
const appendOnly = 0x20;

export function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // Node names another reason than the one that kept it.
    freeTree(Buffer.from(path));
    rmSync(path, { recursive: true, force: true });
  }
}

/** Takes the flags off that keep files from being removed. Links are not followed. */
function freeTree(path: Buffer): void {
  for (const waiting = [path]; waiting.length > 0; ) {
    const directory = waiting.pop() ?? path;
    free(directory);
    for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
      const child = Buffer.concat([directory, Buffer.from('/'), entry.name]);
      if (entry.isDirectory()) waiting.push(child);
      else if (entry.isFile()) free(child);
    }
  }
}

function free(path: Buffer): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const flags = getInodeFlags(fd);
    if ((flags & (immutable | appendOnly)) !== 0) setInodeFlags(fd, flags & ~(immutable | appendOnly));
  } finally {
    closeSync(fd);
  }
}
