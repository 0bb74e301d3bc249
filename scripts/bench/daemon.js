/**
 * A process that mounts, as the program's own daemon is one: a store, or a copy of a part of it in memory. Started by mount.js, which tells it
 * when to mount (each time anew) and when to end.
 */
import { kernelDriver } from '../../dist/fuse/kernel-driver.js';
import { EncryptionKey } from '../../dist/crypto/encryption-key.js';
import { openDatastore } from '../../dist/store/open.js';
import { openDatastoreTree } from '../../dist/tree/datastore-tree.js';
import { memoryCopy } from './memory-copy.js';

/**
 * @typedef {object} DaemonSetup
 * @property {string} store its directory
 * @property {string} mountPoint
 * @property {number} cacheBytes
 * @property {string | undefined} key 64 hex digits
 * @property {string | undefined} copied path in the tree whose copy in memory is mounted in place of the store
 */

const setup = /** @type {DaemonSetup} */ (JSON.parse(process.argv[2] ?? ''));
const log = (/** @type {string} */ line) => {
  console.error(line);
};

async function fileSystem() {
  const store = await openDatastore(setup.store);
  const keys = setup.key === undefined ? [] : [new EncryptionKey(Buffer.from(setup.key, 'hex'))];
  const tree = openDatastoreTree({ store, keys, namespace: [], cacheBytesMax: setup.cacheBytes, salvage: false, log });
  if (setup.copied === undefined) return tree;
  const copy = await memoryCopy(tree, setup.copied);
  await tree.close();
  return copy;
}

const shown = await fileSystem();
/** @type {import('../../dist/vfs/driver.js').Mounted | undefined} */
let mounted;

async function mount() {
  const { mountPoint, store: source } = setup;
  mounted = await kernelDriver.mount(shown, { mountPoint, source, allowOther: false, defaultPermissions: false, flags: ['ro'], log });
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
process.send?.('done');
process.on('message', (/** @type {'remount' | 'end'} */ order) => {
  void obey(async () => {
    await unmount();
    if (order === 'end') process.exit();
    await mount();
    process.send?.('done');
  });
});
process.on('disconnect', () => {
  void obey(async () => {
    await unmount();
    process.exit();
  });
});
