/** Format: datastore, section 3.2. Sync level `filesystem`: everything at once, when it is done. */
import { closeSync, constants, openSync } from 'node:fs';
import { syncFileSystem } from '../../os/file-sync.js';

export function syncStore(location: string): void {
  const fd = openSync(location, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    syncFileSystem(fd);
  } finally {
    closeSync(fd);
  }
}
