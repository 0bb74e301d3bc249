/** Where a daemon keeps what it has to: its log, one file a mount point, and what is staged. */
import { statSync } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { MountError, messageOf } from '../errors.js';

/** /var/log/pbsfs for root, $XDG_STATE_HOME/pbsfs or ~/.local/state/pbsfs for others; `/` in the mount point becomes `-`. */
export function defaultLogPath(mountPoint: string): string {
  return join(process.getuid?.() === 0 ? '/var/log' : stateDirectory(), 'pbsfs', `${escapedPath(mountPoint)}.log`);
}

/** /var/lib/pbsfs/spool for root, pbsfs/spool beside the logs for others. */
export function defaultSpoolBase(): string {
  return join(process.getuid?.() === 0 ? '/var/lib' : stateDirectory(), 'pbsfs', 'spool');
}

/** What is not absolute does not count, as the XDG specification has it. */
function stateDirectory(): string {
  const { XDG_STATE_HOME: given = '' } = process.env;
  return isAbsolute(given) ? given : join(homeDirectory(), '.local/state');
}

/** mount.fuse3 gives users the HOME of root. */
function homeDirectory(): string {
  const home = homedir();
  try {
    return statSync(home).uid === process.getuid?.() ? home : userInfo().homedir;
  } catch {
    return home;
  }
}

/** Opens it to append, readable by its owner only, with its directory. */
export async function openLog(path: string): Promise<FileHandle> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return await open(path, 'a', 0o600);
  } catch (cause) {
    throw new MountError('MOUNT_FAILED', `the log ${path} can not be written (${messageOf(cause)}); choose another with --log FILE`, { cause });
  }
}

/** Unique: `-`, and what is no letter, digit, dot or underscore, becomes `\xNN`, as systemd-escape --path writes it. */
function escapedPath(path: string): string {
  const bytes = [...Buffer.from(path.slice(1))];
  return bytes.map((byte) => (byte === 0x2f ? '-' : plain.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : hexEscape(byte))).join('');
}

const plain = /^[A-Za-z0-9._]$/;

function hexEscape(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
