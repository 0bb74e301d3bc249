/** How far the kernel reads ahead on a mount. Only root can raise it, and only after mounting. */
import { writeFile } from 'node:fs/promises';
import type { MountTableEntry } from '../os/mount-table.js';

export const readaheadKiB = 4096;

export async function raiseReadahead({ deviceMajor, deviceMinor }: MountTableEntry): Promise<void> {
  await writeFile(`/sys/class/bdi/${deviceMajor}:${deviceMinor}/read_ahead_kb`, String(readaheadKiB));
}
