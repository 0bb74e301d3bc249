/** The driver that speaks the kernel's protocol on /dev/fuse itself. */
import { MountError, messageOf } from '../errors.js';
import { findMount } from '../os/mount-table.js';
import type { Driver, DriverOptions, Mounted } from '../vfs/driver.js';
import type { FileSystem } from '../vfs/file-system.js';
import { isWritable } from '../vfs/writable-file-system.js';
import { Connection } from './connection.js';
import { startCrashWatcher } from './crash-watcher.js';
import { DeviceTransport, type ReaderKind } from './device-transport.js';
import { fileSystemType } from './file-system-type.js';
import { requestBytesMax } from './init.js';
import { KernelMount } from './kernel-mount.js';
import { parseMountFlags } from './mount-flags.js';
import { prepareMountPoint } from './mount-point.js';
import { mountAsRoot, mountAsUser } from './mounter.js';
import { raiseReadahead } from './readahead.js';
import { isRoot, unmountPath } from './unmount.js';

const readyTimeoutMs = 10_000;

function withLimit(promise: Promise<void>, timeoutMs: number, text: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new MountError('MOUNT_FAILED', text)), timeoutMs);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

async function mount(fileSystem: FileSystem, options: DriverOptions, reader: ReaderKind): Promise<Mounted> {
  const { log } = options;
  const root = isRoot();
  const writable = isWritable(fileSystem);
  const flags = parseMountFlags(options.flags, { root, program: root ? 'mount' : 'libfuse', writable });
  const mountPoint = await prepareMountPoint(options.mountPoint, { nonempty: flags.nonempty, log });
  const checked = options.allowOther || options.defaultPermissions || writable;
  const mountOptions = [
    ...flags.options,
    ...(options.allowOther ? ['allow_other'] : []),
    ...(checked ? ['default_permissions'] : []),
  ];
  const request = { mountPoint, source: options.source, options: mountOptions };
  const fd = root ? await mountAsRoot(request) : await mountAsUser(request);
  const transport = new DeviceTransport(fd, { reader, requestBytesMax: requestBytesMax({ writable }), log });
  const connection = new Connection(fileSystem, transport, { posixAcl: checked, log });
  connection.start();
  const watcher = startCrashWatcher(mountPoint, log);
  try {
    await withLimit(connection.ready, readyTimeoutMs, `${mountPoint}: the kernel did not begin to use the mount`);
    const entry = findMount(mountPoint);
    if (entry?.type !== fileSystemType) throw new MountError('MOUNT_FAILED', `${mountPoint} was unmounted at once`);
    if (root) await raiseReadahead(entry).catch((error: unknown) => log(`read-ahead stays small: ${messageOf(error)}`));
    return new KernelMount(connection, entry, watcher, log);
  } catch (error) {
    await unmountPath(mountPoint, { lazy: true }).catch(() => undefined);
    transport.close();
    watcher.dismiss();
    throw error;
  }
}

/** With the way of reading requests chosen; `pumps` is what `epoll` falls back to. */
export function kernelDriverReadingWith(reader: ReaderKind): Driver {
  return {
    name: 'kernel',
    capabilities: {
      nonUtf8Names: true,
      nanoseconds: true,
      timesBefore1970: true,
      inode64: true,
      seekHoles: true,
      inodeFlags: true,
      xattrLarge: true,
      posixAclEnforced: true,
      invalidation: true,
      writing: true,
    },
    mount: (fileSystem, options) => mount(fileSystem, options, reader),
  };
}

export const kernelDriver: Driver = kernelDriverReadingWith('epoll');
