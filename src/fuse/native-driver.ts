/** The driver on the npm package fuse-native and libfuse 2. */
import { createRequire } from 'node:module';
import { MountError, codeOf, messageOf } from '../errors.js';
import { findMount } from '../os/mount-table.js';
import type { Driver, DriverOptions, Mounted } from '../vfs/driver.js';
import type { FileSystem } from '../vfs/file-system.js';
import { isWritable } from '../vfs/writable-file-system.js';
import { startCrashWatcher } from './crash-watcher.js';
import { checkFuseDevice } from './device.js';
import { fileSystemSubtype, fileSystemType, printableSource } from './file-system-type.js';
import { parseMountFlags } from './mount-flags.js';
import { prepareMountPoint } from './mount-point.js';
import type { NativeLibrary, NativeMount, NativeOptions } from './native-library.js';
import { NativeMounted, openFuseDescriptors } from './native-mounted.js';
import { NativeOperations } from './native-operations.js';
import { isRoot } from './unmount.js';

/** The package cuts what is longer. */
const textBytesMax = 900;
/** For all names alike, as the package knows no other way; nothing can be invalidated. */
const believedSeconds = 1;

function loadLibrary(): NativeLibrary {
  try {
    const library = createRequire(import.meta.url)('fuse-native') as NativeLibrary;
    // It would unmount lazily, through a shell; here the mount is taken away before its own bookkeeping is told.
    library.unmount = (_mountPoint, done) => done(null);
    return library;
  } catch (error) {
    const text = messageOf(error);
    const hint =
      codeOf(error) === 'MODULE_NOT_FOUND'
        ? 'it is not installed (npm install fuse-native)'
        : /libfuse/.test(text)
          ? 'it needs libfuse 2 (apt install libfuse2, on Ubuntu 24.04 libfuse2t64)'
          : text;
    throw new MountError('NO_FUSE', `the driver fuse-native cannot be loaded: ${hint}`, { cause: error });
  }
}

function nativeOptions(options: DriverOptions, nonempty: boolean, flags: readonly string[]): NativeOptions {
  const words = [
    printableSource(options.source),
    `subtype=${fileSystemSubtype}`,
    'use_ino',
    ...flags,
    ...(nonempty ? ['nonempty'] : []),
  ];
  return {
    fsname: words.join(','),
    attrTimeout: believedSeconds,
    entryTimeout: believedSeconds,
    maxRead: 131_072,
    allowOther: options.allowOther,
    defaultPermissions: options.allowOther || options.defaultPermissions,
    timeout: false,
  };
}

function start(native: NativeMount, mountPoint: string): Promise<void> {
  return new Promise((resolve, reject) => {
    native.mount((error) => {
      if (error === null) return resolve();
      const hint = isRoot() ? '' : '; ordinary users need fusermount (apt install fuse3)';
      reject(
        new MountError('MOUNT_FAILED', `${mountPoint} cannot be mounted: ${error.message}, libfuse has said why${hint}`, {
          cause: error,
        }),
      );
    });
  });
}

async function mount(fileSystem: FileSystem, options: DriverOptions): Promise<Mounted> {
  const { log } = options;
  if (isWritable(fileSystem)) {
    const text = 'the driver fuse-native only mounts trees that are read; for a writable one choose the kernel driver';
    throw new MountError('MOUNT_FAILED', text);
  }
  const Native = loadLibrary();
  checkFuseDevice();
  const flags = parseMountFlags(options.flags, { root: isRoot(), program: 'libfuse' });
  const mountPoint = await prepareMountPoint(options.mountPoint, { nonempty: flags.nonempty, log });
  const native = nativeOptions(options, flags.nonempty, flags.options);
  if (Buffer.byteLength(native.fsname) > textBytesMax || Buffer.byteLength(mountPoint) > textBytesMax) {
    throw new MountError('MOUNT_FAILED', `${mountPoint}: source and mount point are too long for the driver fuse-native`);
  }
  const operations = new NativeOperations(fileSystem, log);
  const mounting = Object.assign(new Native(mountPoint, operations.handlers(), native), operations.xattrHandlers());
  const watcher = startCrashWatcher(mountPoint, log);
  const before = openFuseDescriptors();
  try {
    await start(mounting, mountPoint);
    const [descriptor] = [...openFuseDescriptors()].filter((name) => !before.has(name));
    if (findMount(mountPoint)?.type !== fileSystemType || descriptor === undefined) {
      throw new MountError('MOUNT_FAILED', `${mountPoint} was unmounted at once`);
    }
    return new NativeMounted({ native: mounting, operations, mountPoint, descriptor, watcher });
  } catch (error) {
    watcher.dismiss();
    throw error;
  }
}

export const nativeDriver: Driver = {
  name: 'fuse-native',
  capabilities: {
    nonUtf8Names: false,
    nanoseconds: false,
    timesBefore1970: false,
    inode64: false,
    seekHoles: false,
    inodeFlags: false,
    xattrLarge: true,
    posixAclEnforced: false,
    invalidation: false,
    writing: false,
  },
  mount,
};
