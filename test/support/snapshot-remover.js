/**
 * Removes a snapshot, in a process of its own that a test may kill: DIRECTORY ID TIME. Says `begun`, then `removed`.
 *
 * @typedef {import('../../src/store/local/local-datastore.js')} LocalDatastore
 */
import process from 'node:process';
import { URL } from 'node:url';

const { openLocalDatastore } = /** @type {LocalDatastore} */ (await import(new URL('../../dist/store/local/local-datastore.js', import.meta.url).href));

const [, , directory = '', id = '', time = ''] = process.argv;
const store = await openLocalDatastore(directory, { server: { configuration: '/nonexistent', locks: '/nonexistent' } });
const administration = await store.administration((line) => process.stderr.write(`${line}\n`));
process.stdout.write('begun\n');
await administration.removeSnapshot({ namespace: [], type: 'host', id, time: Number(time) });
process.stdout.write('removed\n');
await store.close();
