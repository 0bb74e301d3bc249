/**
 * Mounts a spool in a process of its own. Speaks with its parent over the channel of child_process.fork.
 *
 * @typedef {object} SpoolMountOptions
 * @property {string} mountPoint
 * @property {string} directory
 * @property {boolean} [ordinary] Of an ordinary user.
 */
import { Buffer } from 'node:buffer';
import { readdirSync } from 'node:fs';
import process from 'node:process';
import { URL } from 'node:url';

const [, , text = '{}'] = process.argv;
/** @type {SpoolMountOptions} */
const { mountPoint, directory, ordinary = false } = JSON.parse(text);
/** @param {Record<string, unknown>} message */
const tell = (message) => void process.send?.(message);
/** @param {unknown} error */
const described = (error) => ({ code: /** @type {{ code?: string }} */ (error).code, message: String(error) });
/** @param {string} name */
const built = (name) => import(new URL(`../../../dist/${name}.js`, import.meta.url).href);
const { kernelDriver } = /** @type {typeof import('../../../src/fuse/kernel-driver.js')} */ (await built('fuse/kernel-driver'));
const { SpoolTree } = /** @type {typeof import('../../../src/tree/staging/spool-tree.js')} */ (await built('tree/staging/spool-tree'));

try {
  const log = (/** @type {string} */ line) => tell({ event: 'log', line });
  let last = 1000;
  const spool = new SpoolTree({ directory, allocateIno: () => (last += 1), log });
  const counts = () => {
    const { openFiles, openWriters, knownInodes } = spool;
    void globalThis.gc?.();
    const { rss, heapUsed, external } = process.memoryUsage();
    return { openFiles, openWriters, knownInodes, memoryBytes: rss, usedBytes: heapUsed + external };
  };
  const flags = ordinary ? [] : ['dev', 'suid'];
  const mounted = await kernelDriver.mount(spool, { mountPoint, source: 'spool:test', allowOther: !ordinary, defaultPermissions: true, flags, log });
  process.on('SIGTERM', () => {
    mounted.unmount().catch((/** @type {unknown} */ error) => tell({ event: 'not unmounted', error: described(error) }));
  });
  // The test was ended: the crash watcher unmounts.
  process.on('disconnect', () => process.exit());
  process.on('message', (/** @type {{ command: string, name?: string, value?: string }} */ { command, name = '', value }) => {
    if (command === 'statistics') tell({ event: 'statistics', list: mounted.statistics(), ...counts() });
    if (command === 'set fact') spool.setFact(spool.root, name, value === undefined ? undefined : Buffer.from(value));
    if (command === 'get fact') tell({ event: 'fact', line: String(spool.fact(spool.root, name)) });
    if (command === 'forget') {
      // What nobody uses the kernel then forgets, and all that is below it.
      for (const entryName of readdirSync(directory, { encoding: 'buffer' })) mounted.invalidateEntry(spool.root, Buffer.from(entryName));
      tell({ event: 'done' });
    }
    if (command === 'sync') void spool.syncAll().then(() => tell({ event: 'synced' }));
  });
  tell({ event: 'mounted' });
  await mounted.done;
  tell({ event: 'ended', ...counts() });
  spool.close();
} catch (error) {
  tell({ event: 'failed', error: described(error) });
  process.exitCode = 2;
} finally {
  process.channel?.unref();
}
