/** What a new snapshot can be called. */
import { FormatError } from '../errors.js';
import { formatBackupTime } from '../format/backup-time.js';
import { isBackupId, type SnapshotName } from '../format/snapshot-name.js';

/** Of ids that a server can still make log files for. */
const idLengthSafe = 128;
const timeMin = 1;

/** BAD_NAME; warns of what works here and may not work everywhere. */
export function checkNewSnapshotName({ id, time }: SnapshotName, warn: (line: string) => void): void {
  if (!isBackupId(id)) throw new FormatError('BAD_NAME', `'${id}' is not an id: letters, digits, '_', '-' and '.', not beginning with '-' or '.'`);
  const text = formatBackupTime(time);
  if (time < timeMin) throw new FormatError('BAD_NAME', `${text} is not the time of a backup: servers take times from 1970-01-01T00:00:01Z on`);
  if (id.length > idLengthSafe) warn(`the id has ${id.length} characters: a server may not be able to work with more than ${idLengthSafe}`);
}
