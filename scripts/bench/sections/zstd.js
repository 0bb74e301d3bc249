/** The ways to decompress that there are here, side by side: the whole decode of a chunk in one thread, with the same chunks. */
import { ChunkDecoder } from '../../../dist/codec/chunk-decoder.js';
import { parseFixedIndex } from '../../../dist/format/fixed-index.js';
import { chunkPath } from '../../../dist/format/chunk-path.js';
import { loadZstd } from '../../../dist/os/zstd/zstd.js';
import { readFileSync } from 'node:fs';
import { inRotation } from '../measure.js';
import { StoreMaker, imageChunkBytes } from '../store-maker.js';
import { withDirectory } from '../temporary.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 */

const ways = /** @type {const} */ (['library', 'node', 'wasm']);
const imageBytes = 256 * 1024 * 1024;

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function zstd({ runs }) {
  return await withDirectory(imageBytes, async (directory) => {
    const path = (await StoreMaker.create(directory)).snapshot('vm', '100').image('drive-scsi0.img', imageBytes, { zeros: 0 }).finish();
    const index = parseFixedIndex(readFileSync(`${directory}/${path}/drive-scsi0.img.fidx`));
    const target = Buffer.from(new SharedArrayBuffer(imageChunkBytes));
    /** @type {Record<string, () => Promise<number>>} */
    const variants = {};
    for (const way of ways) {
      const codec = await loadZstd([way]).catch(() => undefined);
      if (codec === undefined) {
        console.error(`zstd: ${way} is not available here and left out`);
        continue;
      }
      const decoder = new ChunkDecoder(codec);
      variants[codec.name] = () => {
        const start = performance.now();
        for (let n = 0; n < index.count; n++) {
          const digest = index.digestAt(n);
          decoder.decode({ path: `${directory}/${chunkPath(digest)}`, digest, key: undefined }, target);
        }
        return Promise.resolve((performance.now() - start) / 1000);
      };
    }
    const seconds = await inRotation(runs, variants);
    return Object.entries(seconds).map(([name, value]) => ({
      section: 'zstd',
      name: `whole decode in one thread, ${name}`,
      value: imageBytes / 1024 / 1024 / value,
      unit: 'MiB/s',
    }));
  });
}
