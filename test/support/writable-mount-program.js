/**
 * Mounts a writable file system in memory in a process of its own. Speaks with its parent over the channel of child_process.fork.
 *
 * @typedef {object} WritableMountOptions
 * @property {string} mountPoint
 * @property {'epoll' | 'pumps' | 'fuse-native'} [driver]
 * @property {boolean} [promises] Every operation answers with a promise.
 * @property {number} [pagesMax] Room in the file system.
 * @property {string[]} [flags]
 */
import process from 'node:process';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { URL } from 'node:url';
import { WritableMemoryFileSystem } from './writable-memory-file-system.js';

const [, , text = '{}'] = process.argv;
/** @type {WritableMountOptions} */
const options = JSON.parse(text);
/** @param {Record<string, unknown>} message */
const tell = (message) => void process.send?.(message);
/** @param {unknown} error */
const described = (error) => ({ code: /** @type {{ code?: string }} */ (error).code, message: String(error) });

const { driver: reader = 'epoll' } = options;
const name = reader === 'fuse-native' ? 'native-driver' : 'kernel-driver';
/** @typedef {import('../../src/vfs/driver.js').Driver} Driver */
/** @type {{ nativeDriver: Driver, kernelDriverReadingWith: (reader: string) => Driver }} */
const modules = await import(new URL(`../../dist/fuse/${name}.js`, import.meta.url).href);
const driver = reader === 'fuse-native' ? modules.nativeDriver : modules.kernelDriverReadingWith(reader);

const fileSystem = new WritableMemoryFileSystem({ owner: process.getuid?.() ?? 0 });
fileSystem.pagesMax = options.pagesMax ?? fileSystem.pagesMax;
let [slowOperation, slowMs, refusedOperation] = ['', 0, ''];
/** @type {(operation: string) => void | Promise<void>} */
const before = (operation) => {
  if (operation === refusedOperation) throw Object.assign(new Error('refused'), { code: 'EOPNOTSUPP', errno: -95 });
  if (operation === slowOperation) {
    tell({ event: 'slow' });
    return setTimeout(slowMs);
  }
  return options.promises === true ? setImmediate() : undefined;
};
fileSystem.before = before;
const counts = () => {
  const { openFiles, openDirectories, inodes, strayForgets } = fileSystem;
  return { openFiles, openDirectories, inodes, strayForgets };
};

try {
  const mounted = await driver.mount(fileSystem, {
    mountPoint: options.mountPoint,
    source: 'memory:writable',
    allowOther: process.getuid?.() === 0,
    defaultPermissions: false,
    flags: options.flags ?? [],
    log: (line) => tell({ event: 'log', line }),
  });
  process.on('SIGTERM', () => {
    mounted.unmount().catch((/** @type {unknown} */ error) => tell({ event: 'not unmounted', error: described(error) }));
  });
  // The test was ended: the crash watcher unmounts.
  process.on('disconnect', () => process.exit());
  process.on('message', (/** @type {{ command: string, operation?: string, ms?: number }} */ { command, operation, ms }) => {
    if (command === 'statistics') tell({ event: 'statistics', list: mounted.statistics(), ...counts() });
    if (command === 'invalidate') {
      // What nobody uses the kernel then forgets.
      for (const [parent, entryName] of fileSystem.names()) mounted.invalidateEntry(parent, entryName);
      tell({ event: 'done' });
    }
    if (command === 'refuse') {
      refusedOperation = operation ?? '';
      tell({ event: 'done' });
    }
    if (command === 'slow') {
      slowOperation = operation ?? '';
      slowMs = ms ?? 0;
      tell({ event: 'done' });
    }
  });
  tell({ event: 'mounted' });
  await mounted.done;
  tell({ event: 'ended', ...counts() });
} catch (error) {
  tell({ event: 'failed', error: described(error) });
  process.exitCode = 2;
} finally {
  process.channel?.unref();
}
