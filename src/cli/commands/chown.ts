/** `pbsfs chown`: whose a group is. */
import { groupPath } from '../../format/snapshot-name.js';
import { administrationOptions, findGroup, groupPositional, withAdministration } from '../administer.js';
import { command } from '../command.js';
import { writeOut } from '../output.js';

export const chownCommand = command({
  name: 'chown',
  summary: 'Give a group to another user or API token of a server',
  positionals: [groupPositional, { name: 'OWNER', describe: 'user@realm or user@realm!token' }],
  options: administrationOptions,
  examples: [["pbsfs chown --store /srv/store host/web1 'backup@pbs!laptop'", 'only that token, and its user, back up into it from now on']],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'busy', 'warnings'],
  run: async (values, [, owner = ''], [path = Buffer.alloc(0)]) => {
    await withAdministration(values, async ({ store, administration }) => {
      const group = await findGroup(store, path, values.ns);
      await administration.changeOwner(group, owner);
      await writeOut(values.json === true ? `${JSON.stringify({ group: groupPath(group), owner })}\n` : `${groupPath(group)} belongs to ${owner}\n`);
    });
  },
});
