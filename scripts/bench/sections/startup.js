/** The first byte of one small file: in a mount that was never read from, and by `pbsfs cat`, which has to start for it. */
import { closeSync, openSync, readSync } from 'node:fs';
import { ChunkStream } from '../../../dist/archive/chunk-stream.js';
import { DamageLog } from '../../../dist/archive/damage.js';
import { PxarTree } from '../../../dist/archive/pxar-tree.js';
import { ChunkCache } from '../../../dist/codec/chunk-cache.js';
import { openDatastore } from '../../../dist/store/open.js';
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

/** Notes what is asked for, and reads nothing ahead. */
class NotingCache extends ChunkCache {
  /** @type {import('../../../dist/codec/chunk-cache.js').ChunkRef[]} */
  refs = [];

  /** @override */
  prefetch() {
    return true;
  }

  /** @override @param {import('../../../dist/codec/chunk-cache.js').ChunkRef} ref */
  load(ref) {
    this.refs.push(ref);
    return super.load(ref);
  }
}

/**
 * Times the chunks that reading the file needs, one after another as one leads to the next, in a thread that runs already.
 * @param {string} directory
 * @param {import('../../../dist/format/snapshot-name.js').SnapshotName} snapshot
 */
async function chunkTimer(directory, snapshot) {
  const store = await openDatastore(directory);
  const cache = new NotingCache({ bytesMax: cacheBytesMax, keys: [], source: store.chunks });
  const index = await store.index(snapshot, 'root.pxar.didx');
  const damage = new DamageLog(console.error);
  const meta = new ChunkStream({ path: 'root.pxar', index, cache, key: undefined, damage, salvage: false });
  const tree = await PxarTree.open({ meta, payload: undefined });
  let id = tree.root;
  for (const name of file.split('/')) id = (await tree.lookup(id, Buffer.from(name)))?.id ?? id;
  const { stream, offset } = await tree.content(await tree.node(id));
  await stream.pieces(offset, 1);
  const { refs } = cache;
  cache.refs = [];
  return {
    count: refs.length,
    load: async () => {
      const start = performance.now();
      for (const ref of refs) await cache.load(ref);
      return performance.now() - start;
    },
    close: () => cache.close(),
  };
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
    const chunks = await chunkTimer(directory, snapshot.name);
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
      { section, name: `its ${chunks.count} chunks one after another`, value: ms.chunks, unit },
      { section, name: 'Node doing nothing', value: ms.node, unit },
    ];
  });
}
