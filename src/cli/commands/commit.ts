/** `pbsfs commit`: what is staged in a group of a writable mount becomes a snapshot. */
import { timeOf } from '../../tree/staging/commit-control.js';
import { command, jsonOption } from '../command.js';
import { askDaemon } from '../control.js';

export const commitCommand = command({
  name: 'commit',
  summary: 'Make a snapshot of what is staged in a writable mount',
  positionals: [{ name: 'GROUP', describe: 'directory of the group in the mount, or its directory staging', completion: 'directory' }],
  options: {
    time: { type: 'string', describe: 'time of the snapshot, 2026-11-21T19:00:00Z (default: now)' },
    notes: { type: 'string', describe: 'notes of the snapshot' },
    json: { ...jsonOption, describe: 'print a JSON object a line for each event, the last one with the result' },
  },
  examples: [['pbsfs commit /mnt/pbs/host/web1', 'the group can be listed meanwhile']],
  statuses: ['failed', 'notFound', 'noAccess', 'busy', 'exists', 'warnings', 'interrupted'],
  run: async ({ time, notes, json = false }, [group = '']) => {
    if (time !== undefined) timeOf(time);
    await askDaemon(group, { action: 'commit', ...(time !== undefined && { time }), ...(notes !== undefined && { notes }) }, { json });
  },
});

