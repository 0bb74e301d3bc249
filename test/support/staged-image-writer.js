/**
 * Writes into a staged image until it is killed. Arguments: store, state directory, number of the first operation, seed. After each flush
 * or sync it tells the number of the last operation before it.
 */
import process from 'node:process';
import { setImmediate } from 'node:timers/promises';
import { operationOf } from './staged-image-operations.js';
import { openStaging } from './staging-program.js';

const [, , store = '', directory = '', first = '0', seed = '1'] = process.argv;
const { image } = await openStaging({ store, directory, roomsMax: 4, spooledChunksMax: 3 });
process.stdout.write('open\n');
for (let number = Number(first); ; number++) {
  const { kind, offset, bytes } = operationOf(number, Number(seed));
  if (kind === 'write') await image.write(offset, bytes);
  else await image.allocate({ kind: 'punch', offset, length: bytes.length, keepSize: true });
  if (number % 7 === 6) {
    await (number % 2 === 0 ? image.flush() : image.sync());
    process.stdout.write(`done ${number}\n`);
    await setImmediate();
  }
}
