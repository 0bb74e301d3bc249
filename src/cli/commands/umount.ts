/** `pbsfs umount`. */
import { unmountDatastore } from '../../mount/unmount.js';
import { command, jsonOption } from '../command.js';
import { writeOut } from '../output.js';

export const umountCommand = command({
  name: 'umount',
  summary: 'Unmount a datastore',
  positionals: [{ name: 'MOUNTPOINT', describe: 'where it is mounted', completion: 'mount' }],
  options: {
    lazy: { type: 'boolean', short: 'l', describe: 'free the mount point now; what is open stays readable until it is closed' },
    json: jsonOption,
  },
  examples: [
    ['pbsfs umount /mnt/pbs', 'unmount; if it is busy, say by whom'],
    ['pbsfs umount --lazy /mnt/pbs', 'unmount although it is busy'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'mountFailed', 'busy'],
  run: async ({ lazy = false, json = false }, [mountPoint = '']) => {
    await unmountDatastore(mountPoint, { lazy });
    if (json) await writeOut(`${JSON.stringify({ mountPoint, unmounted: true })}\n`);
  },
});
