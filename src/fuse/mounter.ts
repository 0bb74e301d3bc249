/** Makes the mount and gives the descriptor that serves it. */
import { closeSync } from 'node:fs';
import { MountError } from '../errors.js';
import { receiveDescriptor, socketPair } from '../os/fd-passing.js';
import { type CommandResult, runCommand } from './command.js';
import { checkFuseDevice, openFuseDevice } from './device.js';
import { fileSystemSubtype, fileSystemType, printableSource } from './file-system-type.js';

const mountTimeoutMs = 30_000;

export interface MountRequest {
  /** Absolute and without links in it. */
  readonly mountPoint: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** For root, or whoever is root in this user namespace. Throws NO_FUSE, NO_PRIVILEGE or MOUNT_FAILED. */
export async function mountAsRoot({ mountPoint, source, options }: MountRequest): Promise<number> {
  const fd = openFuseDevice();
  const owner = [`user_id=${process.getuid?.() ?? 0}`, `group_id=${process.getgid?.() ?? 0}`];
  const all = ['fd=3', 'rootmode=40000', ...owner, ...options].join(',');
  const args = ['-i', '-t', fileSystemType, '-o', all, '--', printableSource(source), mountPoint];
  const result = await runCommand('mount', args, { descriptors: [fd], timeoutMs: mountTimeoutMs });
  if (result.status === 0) return fd;
  closeSync(fd);
  if (result.missing) throw new MountError('MOUNT_FAILED', 'the program mount is not installed (apt install mount)');
  const why = explain(result, mountPoint);
  if (/permi|superuser|denied/i.test(why)) {
    throw new MountError('NO_PRIVILEGE', `${why}; in a container, mounting needs CAP_SYS_ADMIN`);
  }
  throw new MountError('MOUNT_FAILED', why);
}

/** For everyone else: the set-uid program of the package fuse3 mounts, and passes the descriptor through a socket. */
export async function mountAsUser({ mountPoint, source, options }: MountRequest): Promise<number> {
  checkFuseDevice();
  const sockets = socketPair();
  if (sockets === undefined) {
    throw new MountError(
      'NO_PRIVILEGE',
      'ordinary users need the npm package koffi to mount (npm install koffi), or mount as root or with fuse-native',
    );
  }
  const [ours, theirs] = sockets;
  try {
    const all = [`fsname=${printableSource(source)}`, `subtype=${fileSystemSubtype}`, ...options].join(',');
    const result = await runCommand('fusermount3', ['-o', all, '--', mountPoint], {
      descriptors: [theirs],
      environment: { _FUSE_COMMFD: '3' },
      timeoutMs: mountTimeoutMs,
    });
    if (result.status !== 0) throw userError(result, mountPoint);
    return receiveDescriptor(ours);
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

function userError(result: CommandResult, mountPoint: string): MountError {
  if (result.missing) {
    return new MountError('NO_PRIVILEGE', 'fusermount3 is not installed: ordinary users need it to mount (apt install fuse3)');
  }
  const why = explain(result, mountPoint);
  if (/user_allow_other/.test(why)) {
    const hint = "write the line 'user_allow_other' into /etc/fuse.conf, or mount without allow_other";
    return new MountError('NO_PRIVILEGE', `other users may not be let in: ${hint}`);
  }
  return new MountError(/permission|access|not owned/i.test(why) ? 'NO_PRIVILEGE' : 'MOUNT_FAILED', why);
}

function explain({ timedOut, stderr }: CommandResult, mountPoint: string): string {
  return `${mountPoint} cannot be mounted: ${timedOut ? 'the mount program did not end' : stderr}`;
}
