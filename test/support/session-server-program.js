/** A server in a process of its own, whose memory can be asked for: STORE USERS; `memory` on stdin gives the most that it had, in bytes. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { openOffers } from '../../dist/server/offers.js';
import { ensureIdentity } from '../../dist/server/server-identity.js';
import { startServer } from '../../dist/server/server.js';
import { openLocalDatastore } from '../../dist/store/local/local-datastore.js';

const [, , store = '', usersPath = ''] = process.argv;
const directory = dirname(usersPath);
const offers = openOffers();
const server = await startServer({
  stores: [{ name: 'store1', path: store, datastore: await openLocalDatastore(store) }],
  host: '127.0.0.1',
  port: 0,
  identity: await ensureIdentity(join(directory, 'proxy.pem'), join(directory, 'proxy.key'), () => undefined),
  usersPath,
  offers,
  audit: { write: () => undefined },
  log: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`${server.port}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'memory') break;
  process.stdout.write(`${memoryPeak()} ${server.sessionCount()}\n`);
}
await server.drain(0);
await offers.close();
process.exit(0);

/** Of this program; what the process was before it began has counted in resourceUsage(). */
function memoryPeak() {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}
