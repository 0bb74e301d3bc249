/**
 * Writes snapshots of one group until it is ended, in a process of its own that a test may kill. Says `begun`, then `half`, then `finished` for each.
 *
 * @typedef {import('../../src/store/local/local-datastore.js')} LocalDatastore
 * @typedef {import('../../src/format/dynamic-index.js')} DynamicIndex
 */
import { Buffer } from 'node:buffer';
import { randomBytes, randomInt } from 'node:crypto';
import process from 'node:process';
import { URL } from 'node:url';

/** @param {string} path */
const load = (path) => import(new URL(`../../dist/${path}.js`, import.meta.url).href);
const { openLocalDatastore } = /** @type {LocalDatastore} */ (await load('store/local/local-datastore'));
const { encodeDynamicIndex } = /** @type {DynamicIndex} */ (await load('format/dynamic-index'));

const [, , directory = '', id = '', firstTime = '0', count = '1', configuration = '/nonexistent', locks = '/nonexistent', owner] = process.argv;
const manifest = Buffer.from('42ab3807be8370a1acbe26427b7d', 'hex');

try {
  const store = await openLocalDatastore(directory, { server: { configuration, locks } });
  for (let n = 0; n < Number(count); n++) {
    const snapshot = { namespace: [], type: /** @type {const} */ ('host'), id, time: Number(firstTime) + n };
    const warn = (/** @type {string} */ line) => process.stdout.write(`warning ${line}\n`);
    const session = await store.beginBackup({ snapshot, key: undefined, owner, warn });
    process.stdout.write('begun\n');
    const target = session.openIndex('root.pxar.didx');
    const chunks = Array.from({ length: 24 }, async () => {
      const bytes = randomInt(1, 300_000);
      const room = await session.memory.take(bytes);
      const content = session.memory.view(room, bytes);
      randomBytes(bytes).copy(content);
      const { digest } = await target.putChunk(content);
      session.memory.give(room);
      return { digest, bytes };
    });
    const stored = await Promise.all(chunks);
    process.stdout.write('half\n');
    let end = 0;
    const ends = stored.map(({ bytes }) => (end += bytes));
    const index = { uuid: Buffer.alloc(16), ctime: 0, ends, digests: Buffer.concat(stored.map(({ digest }) => digest)) };
    await target.writeIndex(encodeDynamicIndex(index));
    await session.writeBlob('fw.conf.blob', manifest);
    await session.finish(manifest);
    process.stdout.write('finished\n');
  }
  await store.close();
} catch (error) {
  const { code, message } = /** @type {{ code?: string, message: string }} */ (error);
  process.stdout.write(`refused ${code} ${message}\n`);
  process.exitCode = 1;
}
