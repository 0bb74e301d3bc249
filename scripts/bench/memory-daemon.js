/**
 * A process that mounts a copy in memory of a part of a store: the same driver and bytes with nothing to decode. Started by mount.js, which tells
 * it when to mount anew and when to end.
 */
import { kernelDriver } from '../../dist/fuse/kernel-driver.js';
import { unlockKeyFiles, readKeyFiles } from '../../dist/mount/keys.js';
import { openDatastore } from '../../dist/store/open.js';
import { openDatastoreTree } from '../../dist/tree/datastore-tree.js';
import { memoryCopy } from './memory-copy.js';

const [directory = '', path = '', mountPoint = '', ...keyFiles] = process.argv.slice(2);
const cacheBytesMax = 64 * 1024 * 1024;
const log = (/** @type {string} */ line) => {
  console.error(line);
};

async function copyOfStore() {
  const store = await openDatastore(directory);
  const keys = unlockKeyFiles(await readKeyFiles(keyFiles, log), undefined);
  const tree = openDatastoreTree({ store, keys, namespace: [], cacheBytesMax, salvage: false, log });
  const copy = await memoryCopy(tree, path);
  await tree.close();
  return copy;
}

const copy = await copyOfStore();
/** @type {import('../../dist/vfs/driver.js').Mounted | undefined} */
let mounted;

async function mount() {
  mounted = await kernelDriver.mount(copy, { mountPoint, source: 'memory', allowOther: false, defaultPermissions: false, flags: ['ro'], log });
  process.send?.('mounted');
}

async function unmount() {
  await mounted?.unmount();
  await mounted?.done;
}

/** @param {() => Promise<unknown>} act */
async function obey(act) {
  try {
    await act();
  } catch (error) {
    log(String(error));
    process.exit(1);
  }
}

await mount();
process.on('message', () => {
  void obey(async () => {
    await unmount();
    await mount();
  });
});
process.on('disconnect', () => {
  void obey(async () => {
    await unmount();
    process.exit();
  });
});
