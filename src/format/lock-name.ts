/**
 * Format: datastore, section 3.6. Names of lock files, relative to the lock directory of the datastore. Servers from
 * 4.0 on have one flat name per object; before, only manifests had a lock file (groups and snapshots were locked themselves).
 */
import { createHash } from 'node:crypto';
import { formatBackupTime } from './backup-time.js';
import { type Namespace } from './namespace.js';
import { groupPath, snapshotPath, type GroupName, type SnapshotName } from './snapshot-name.js';

const nameLengthMax = 254;
const headLength = 80;

export function groupLockName(group: GroupName): string {
  return lockName(group.namespace, pathInNamespace(group));
}

export function snapshotLockName(snapshot: SnapshotName): string {
  return lockName(snapshot.namespace, `${pathInNamespace(snapshot)}/${formatBackupTime(snapshot.time)}`);
}

export function manifestLockName(snapshot: SnapshotName): string {
  return lockName(snapshot.namespace, `${pathInNamespace(snapshot)}/${formatBackupTime(snapshot.time)}/.index.json.lck`);
}

/** As servers before 4.0 name it: a file in nested directories. */
export function nestedManifestLockName(snapshot: SnapshotName): string {
  return `${snapshotPath(snapshot)}/${formatBackupTime(snapshot.time)}.index.json.lck`;
}

function pathInNamespace(group: GroupName): string {
  return groupPath({ namespace: [], type: group.type, id: group.id });
}

function lockName(namespace: Namespace, path: string): string {
  const directory = namespace.length === 0 ? '' : `${namespace.join(':')}/`;
  const escaped = escapeUnitName(path);
  if (escaped.length <= nameLengthMax) return `${directory}${escaped}`;
  const hash = createHash('sha256').update(path).digest('hex');
  return `${directory}hashed/${escaped.slice(0, headLength)}...${escaped.slice(-headLength)}-${hash}`;
}

/** The escaping that systemd gives to paths in unit names; `path` is ASCII. */
function escapeUnitName(path: string): string {
  return path
    .replace(/^\/+/, '')
    .replace(/^\.|[^A-Za-z0-9_./]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
    .replaceAll('/', '-');
}
