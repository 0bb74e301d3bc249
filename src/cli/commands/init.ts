/** `pbsfs init`. */
import { stderrLog } from '../../mount/log.js';
import { initDatastore } from '../../store/local/init.js';
import { printableName } from '../../vfs/name.js';
import { command, jsonOption } from '../command.js';
import { writeOut } from '../output.js';

export const initCommand = command({
  name: 'init',
  summary: 'Make a datastore',
  positionals: [{ name: 'DIR', describe: 'a new or an empty directory', completion: 'directory' }],
  options: { json: jsonOption },
  examples: [['pbsfs init /srv/store', 'a datastore that a server adopts, too']],
  statuses: ['failed', 'noAccess', 'exists', 'busy'],
  run: async ({ json = false }, [directory = '']) => {
    const { location, owner } = await initDatastore(directory, { warn: stderrLog(() => 'pbsfs: ') });
    const text = `${printableName(Buffer.from(location))} is a datastore now, of user ${owner.uid}`;
    await writeOut(json ? `${JSON.stringify({ location, ...owner })}\n` : `${text}\n`);
  },
});
