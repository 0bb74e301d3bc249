/** `pbsfs stage`: what is in a snapshot is staged in a group of a writable mount, to be changed and committed. */
import { command, jsonOption } from '../command.js';
import { askDaemon } from '../control.js';

export const stageCommand = command({
  name: 'stage',
  summary: 'Stage what is in a snapshot, without a copy of its data',
  positionals: [{ name: 'GROUP', describe: 'directory of the group in a mount with --writable', completion: 'directory' }],
  options: {
    from: { type: 'string', describe: 'time of the snapshot, the beginning of one, or latest (default)', completion: { words: ['latest'] } },
    json: { ...jsonOption, describe: 'print a JSON object a line for each event, the last one with the result' },
  },
  examples: [
    ['pbsfs stage /mnt/pbs/host/web1', 'then change what is in /mnt/pbs/host/web1/staging, and pbsfs commit'],
    ['pbsfs stage /mnt/pbs/vm/120 --from 2021-05-24T16:18', 'an older one'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'busy', 'exists', 'warnings', 'interrupted'],
  run: async ({ from = 'latest', json = false }, [group = '']) => {
    await askDaemon(group, { action: 'stage', from }, { json });
  },
});
