/** `pbsfs serve`: datastores for clients of Proxmox Backup. */
import { stderrLog } from '../../mount/log.js';
import { command } from '../command.js';
import { serverRequest } from '../server/serve-request.js';

export const serveCommand = command({
  name: 'serve',
  summary: 'Serve datastores to clients of Proxmox Backup, over HTTPS',
  positionals: [{ name: 'DIR', describe: 'a datastore, served under the name of its directory', completion: 'directory', optional: true }],
  options: {
    store: { type: 'string', multiple: true, describe: 'NAME=DIR: a datastore and the name to serve it under', completion: 'directory' },
    name: { type: 'string', describe: 'name to serve DIR under' },
    listen: { type: 'string', describe: 'address and port (default: 127.0.0.1:8007; 0.0.0.0:8007 for all of IPv4, [::]:8007 for all)' },
    cert: { type: 'string', describe: 'certificate, with its chain (PEM; default: one that is made at the first start)', completion: 'file' },
    key: { type: 'string', describe: 'its private key (PEM)', completion: 'file' },
    users: { type: 'string', describe: 'users file (default: /etc/pbsfs/users.json; ~/.config/pbsfs/users.json if not root)', completion: 'file' },
    'audit-log': { type: 'string', describe: 'file for who did what (default: standard error)', completion: 'file' },
    'access-log': { type: 'string', describe: 'file for all requests (default: none)', completion: 'file' },
    metrics: { type: 'string', describe: 'address and port for /metrics over plain HTTP, without a login (default: none)' },
    'drain-timeout': { type: 'string', describe: 'seconds that sessions have to end after a signal (default: 60)' },
  },
  examples: [
    ['pbsfs user add backup@pbs && pbsfs user role backup@pbs /datastore/store DatastorePowerUser', 'first, somebody who may log in'],
    ['pbsfs serve /srv/store --listen 0.0.0.0:8007', 'then serve; clients call it backup@pbs@HOST:store'],
    ['pbsfs serve --store a=/srv/a --store b=/srv/b', 'several'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore'],
  run: async (values, [directory]) => {
    const request = serverRequest(values, directory);
    const { runServer } = await import('../../server/run-server.js');
    await runServer(request, stderrLog(() => `${new Date().toISOString()} [${process.pid}] `));
  },
});
