/**
 * Mounts one staged image in a process of its own. Speaks with its parent over the channel of child_process.fork: `finish` gives what is
 * for the index. Its argument: options of staging-program.js and `mountPoint`, as JSON.
 */
import process from 'node:process';
import { setInterval } from 'node:timers';
import { URL } from 'node:url';
import { oneImageFileSystem } from './one-image-file-system.js';
import { openStaging } from './staging-program.js';

/** @typedef {import('../../src/fuse/kernel-driver.js')} KernelDriver */
/** @type {import('./staging-program.js').StagingProgramOptions & { mountPoint: string }} */
const options = JSON.parse(process.argv[2] ?? '{}');
/** @param {Record<string, unknown>} message */
const tell = (message) => void process.send?.(message);
/** @param {unknown} error */
const described = (error) => ({ code: /** @type {{ code?: string }} */ (error).code, message: String(error) });

try {
  const { kernelDriver } = /** @type {KernelDriver} */ (await import(new URL('../../dist/fuse/kernel-driver.js', import.meta.url).href));
  const { image, source, close } = await openStaging(options);
  const mounted = await kernelDriver.mount(oneImageFileSystem(image, source), {
    mountPoint: options.mountPoint,
    source: 'image',
    allowOther: process.getuid?.() === 0,
    defaultPermissions: false,
    flags: [],
    log: (line) => tell({ event: 'log', line }),
  });
  let spooledChunksMost = 0;
  setInterval(() => (spooledChunksMost = Math.max(spooledChunksMost, image.spooledChunks)), 10).unref();
  process.on('SIGTERM', () => {
    mounted.unmount().catch((/** @type {unknown} */ error) => tell({ event: 'not unmounted', error: described(error) }));
  });
  // The test was ended: the crash watcher unmounts.
  process.on('disconnect', () => process.exit());
  process.on('message', () => {
    image.finish().then(
      ({ size, digests, dirtyBytes }) =>
        tell({ event: 'finished', size, digests: digests.toString('hex'), dirtyBytes, writersOpen: image.writersOpen, spooledChunksMost }),
      (/** @type {unknown} */ error) => tell({ event: 'failed', error: described(error) }),
    );
  });
  tell({ event: 'mounted' });
  await mounted.done;
  await close();
  tell({ event: 'ended' });
} catch (error) {
  tell({ event: 'failed', error: described(error) });
  process.exitCode = 2;
} finally {
  process.channel?.unref();
}
