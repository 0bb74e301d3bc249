/** The first byte of one small file: in a mount that was never read from, and by `pbsfs cat`, which has to start for it. */
import { closeSync, openSync, readSync } from 'node:fs';
import { ChunkCache } from '../../../dist/codec/chunk-cache.js';
import { openDatastore } from '../../../dist/store/open.js';
import { openDatastoreTree } from '../../../dist/tree/datastore-tree.js';
import { walkPath } from '../../../dist/vfs/path.js';
import { inRotation, secondsOf } from '../measure.js';
import { program, withMount } from '../mount.js';
import { StoreMaker } from '../store-maker.js';
import { withDirectory } from '../temporary.js';
import { systemTree } from '../tree-plan.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 */

const treeBytes = 512 * 1024 * 1024;
const file = 'top-000002/sub-000001/sub-000001/file-000003';
const cacheBytesMax = 64 * 1024 * 1024;
const startUpMs = 150;

/**
 * The chunks that reading one file needs, in the order in which they are asked for.
 * @param {string} directory
 * @param {string} path
 */
async function chunksFor(directory, path) {
  const store = await openDatastore(directory);
  /** @type {Buffer[]} */
  const digests = [];
  const observed = new Proxy(store, {
    get(target, name) {
      if (name === 'chunkPath') return (/** @type {Buffer} */ digest) => (digests.push(digest), target.chunkPath(digest));
      const value = /** @type {unknown} */ (Reflect.get(target, name));
      return typeof value === 'function' ? /** @type {unknown} */ (value.bind(target)) : value;
    },
  });
  const tree = openDatastoreTree({ store: observed, keys: [], namespace: [], cacheBytesMax, salvage: false, log: console.error });
  const entry = await walkPath(tree, Buffer.from(path), { rootDepth: 0, followLast: true });
  await (await tree.open(entry.attributes.ino)).read(0, entry.attributes.size);
  await tree.close();
  return digests;
}

/**
 * Milliseconds for the chunks one after the other, by a thread that runs already.
 * @param {string} directory
 * @param {import('../../../dist/format/snapshot-name.js').SnapshotName} snapshot
 * @param {readonly Buffer[]} digests
 */
async function chunkTimer(directory, snapshot, digests) {
  const store = await openDatastore(directory);
  const indexes = await Promise.all(['root.pxar.didx', 'catalog.pcat1.didx'].map((name) => store.index(snapshot, name)));
  const refs = digests.flatMap((digest) =>
    indexes.flatMap((index) => index.chunksOf(digest).map((n) => ({ digest, length: index.endOf(n) - index.startOf(n), keyNumber: -1 }))).slice(0, 1),
  );
  const cache = new ChunkCache({ bytesMax: cacheBytesMax, keys: [], pathOf: (digest) => store.chunkPath(digest) });
  const load = async () => {
    const start = performance.now();
    for (const ref of refs) await cache.load(ref);
    return performance.now() - start;
  };
  await load();
  return { load, close: () => cache.close() };
}

/** @param {string} path */
function firstByteMs(path) {
  const start = performance.now();
  const descriptor = openSync(path, 'r');
  readSync(descriptor, Buffer.alloc(1));
  closeSync(descriptor);
  return performance.now() - start;
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function startup({ runs }) {
  return await withDirectory(treeBytes, async (directory) => {
    const snapshot = (await StoreMaker.create(directory)).snapshot('ct', '100');
    const path = `${snapshot.archive('root', systemTree(treeBytes)).finish()}/root.pxar/${file}`;
    const digests = await chunksFor(directory, path);
    const chunks = await chunkTimer(directory, snapshot.name, digests);
    const ms = await inRotation(runs, {
      mount: () => withMount(directory, {}, (mount) => Promise.resolve(firstByteMs(`${mount.path}/${path}`))),
      cat: async () => 1000 * (await secondsOf(`'${process.execPath}' '${program}' cat '${directory}' '${path}' > /dev/null`)),
      node: async () => 1000 * (await secondsOf(`'${process.execPath}' -e 0`)),
      chunks: chunks.load,
    });
    await chunks.close();
    const section = 'startup';
    const unit = 'ms';
    return [
      { section, name: 'first byte of a file in a cold mount, beside its chunks', value: ms.mount - ms.chunks, unit, target: { most: startUpMs } },
      { section, name: 'pbsfs cat of the file, beside its chunks', value: ms.cat - ms.chunks, unit, target: { most: startUpMs } },
      { section, name: `its ${digests.length} chunks one after another`, value: ms.chunks, unit },
      { section, name: 'Node doing nothing', value: ms.node, unit },
    ];
  });
}
