/** Second names of files that the kernel lets nobody link any more. */
import { closeSync } from 'node:fs';
import { codeOf } from '../errors.js';
import { openAt } from '../os/directory-calls.js';
import { getInodeFlags, setInodeFlags } from '../os/inode-flags.js';
import { openFlags } from '../os/open-flags.js';

/** FS_APPEND_FL and FS_IMMUTABLE_FL. */
const sealingFlags = 0x20 | 0x10;
const readFlags = openFlags.O_RDONLY | openFlags.O_NOFOLLOW | openFlags.O_NONBLOCK | openFlags.O_NOCTTY;

/** Runs `link`; where the file in question is immutable or append-only, these flags are off for a moment. */
export function linkDespiteFlags(directoryFd: number, name: Buffer, link: () => void): void {
  try {
    link();
  } catch (error) {
    if (codeOf(error) !== 'EPERM') throw error;
    unsealed(directoryFd, name, link, error);
  }
}

function unsealed(directoryFd: number, name: Buffer, link: () => void, refusal: unknown): void {
  const fd = openAt(directoryFd, name, readFlags);
  try {
    const flags = getInodeFlags(fd);
    if ((flags & sealingFlags) === 0) throw refusal;
    setInodeFlags(fd, flags & ~sealingFlags);
    try {
      link();
    } finally {
      setInodeFlags(fd, flags);
    }
  } finally {
    closeSync(fd);
  }
}
