/**
 * Mounts the tree with everything in a process of its own, so that a test may look at it synchronously and may kill it. Speaks
 * with its parent over the channel of child_process.fork.
 *
 * @typedef {object} MountProgramOptions
 * @property {'epoll' | 'pumps' | 'fuse-native'} driver
 * @property {string} mountPoint
 * @property {boolean} [allowOther]
 * @property {boolean} [defaultPermissions]
 * @property {string[]} [flags]
 * @property {number} [root]
 * @property {number} [owner]
 * @property {boolean} [plus]
 * @property {boolean} [promises] Every operation answers with a promise.
 * @property {number} [ttlMs]
 * @property {number} [slowMs] How long reading `slow` takes.
 */
import { Buffer } from 'node:buffer';
import { stat } from 'node:fs/promises';
import process from 'node:process';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { URL } from 'node:url';
import { everythingTree } from './everything-tree.js';
import { bytesContent } from './memory-file-system.js';

const [, , text = '{}'] = process.argv;
/** @type {MountProgramOptions} */
const options = JSON.parse(text);
/** @param {Record<string, unknown>} message */
const tell = (message) => void process.send?.(message);
/** @param {unknown} error */
const described = (error) => ({ code: /** @type {{ code?: string }} */ (error).code, message: String(error) });

/**
 * @typedef {import('../../src/vfs/driver.js').Driver} Driver
 * @typedef {{ nativeDriver: Driver, kernelDriverReadingWith: (reader: string) => Driver }} Modules
 * @returns {Promise<Driver>}
 */
async function loadDriver() {
  const name = options.driver === 'fuse-native' ? 'native-driver' : 'kernel-driver';
  const modules = /** @type {Modules} */ (await import(new URL(`../../dist/fuse/${name}.js`, import.meta.url).href));
  return options.driver === 'fuse-native' ? modules.nativeDriver : modules.kernelDriverReadingWith(options.driver);
}

const { fileSystem, inos } = everythingTree(options);
fileSystem.plus = options.plus ?? true;
fileSystem.ttlMs = options.ttlMs ?? fileSystem.ttlMs;
let broken = '';
/** @type {(operation: string, ino: number) => void | Promise<void>} */
const before = (operation, ino) => {
  if (ino === inos.cached && operation === 'read') {
    if (broken === 'throw') throw new TypeError('broken on purpose');
    if (broken === 'reject') return Promise.reject(new TypeError('broken on purpose'));
    if (broken === 'crash') process.kill(process.pid, 'SIGKILL');
  }
  if ((ino === inos.slow || ino === inos.slowReport) && operation === 'read') {
    tell({ event: 'slow' });
    return setTimeout(options.slowMs ?? 60_000, undefined, { ref: false });
  }
  if (broken === 'slow lookups' && operation === 'lookup' && ino === fileSystem.root) {
    tell({ event: 'slow' });
    return setTimeout(1500);
  }
  return options.promises === true ? setImmediate() : undefined;
};
fileSystem.before = before;

try {
  const driver = await loadDriver();
  const mounted = await driver.mount(fileSystem, {
    mountPoint: options.mountPoint,
    source: 'memory:everything',
    allowOther: options.allowOther ?? false,
    defaultPermissions: options.defaultPermissions ?? false,
    flags: options.flags ?? [],
    log: (line) => tell({ event: 'log', line }),
  });
  /** @param {boolean} lazy */
  const unmount = (lazy) =>
    mounted.unmount({ lazy }).then(
      () => tell({ event: 'unmounted' }),
      (error) => tell({ event: 'not unmounted', error: described(error) }),
    );
  process.on('SIGTERM', () => void unmount(false));
  // The test was ended: the crash watcher unmounts.
  process.on('disconnect', () => process.exit());
  process.on(
    'message',
    (/** @type {{ command: string, lazy?: boolean, how?: string, text?: string }} */ { command, lazy, how, text: bytes }) => {
      if (command === 'unmount') void unmount(lazy ?? false);
      if (command === 'statistics')
        tell({
          event: 'statistics',
          list: mounted.statistics(),
          openFiles: fileSystem.openFiles,
          openDirectories: fileSystem.openDirectories,
        });
      if (command === 'look') {
        void stat(`${options.mountPoint}/hello`).then(({ size }) => tell({ event: 'looked', line: String(size) }));
      }
      if (command === 'break') broken = how ?? '';
      if (command === 'break') tell({ event: 'done' });
      if (command === 'change') {
        fileSystem.replace(inos.changing, bytesContent(Buffer.from(bytes ?? '')));
        fileSystem.replace(inos.cached, bytesContent(Buffer.from(bytes ?? '')));
        mounted.invalidateInode(inos.cached);
        mounted.invalidateInode(inos.changing);
        mounted.invalidateInode(12_345_678);
        tell({ event: 'done' });
      }
      if (command === 'remove') {
        fileSystem.unlink(fileSystem.root, 'empty');
        fileSystem.file(fileSystem.root, 'appeared', 'new\n');
        mounted.invalidateEntry(fileSystem.root, Buffer.from('empty'));
        mounted.invalidateEntry(fileSystem.root, Buffer.from('never-there'));
        mounted.invalidateInode(fileSystem.root);
        tell({ event: 'done' });
      }
    },
  );
  tell({ event: 'mounted' });
  try {
    await mounted.done;
    tell({ event: 'ended', openFiles: fileSystem.openFiles, openDirectories: fileSystem.openDirectories });
  } catch (error) {
    tell({ event: 'broken', error: described(error) });
    process.exitCode = 3;
  }
} catch (error) {
  tell({ event: 'failed', error: described(error) });
  process.exitCode = 2;
} finally {
  process.channel?.unref();
}
