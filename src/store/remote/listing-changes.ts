/** Which directories of the tree are listed otherwise than before, by two answers of a server. */
import { formatBackupTime } from '../../format/backup-time.js';
import { namespacePath, type Namespace } from '../../format/namespace.js';
import type { ListedGroups, ListedSnapshot, ListedSnapshots } from './listing-answers.js';

export const changedDirectories = {
  /** Those of types. */
  groups(namespace: Namespace, before: ListedGroups, now: ListedGroups): readonly string[] {
    const other = [...onlyIn(before, now), ...onlyIn(now, before)].map((key) => key.slice(0, key.indexOf('/')));
    return [...new Set(other)].map((type) => below(namespace, type));
  },

  /** Those of groups and of snapshots. */
  snapshots(namespace: Namespace, before: ListedSnapshots, now: ListedSnapshots): readonly string[] {
    return [...new Set([...before.keys(), ...now.keys()])].flatMap((key) => {
      const group = below(namespace, key);
      return changedSnapshots(before.get(key) ?? [], now.get(key) ?? []).map((name) => (name === '' ? group : `${group}/${name}`));
    });
  },
};

/** Names in a group; an empty one for the group itself. */
function changedSnapshots(before: readonly ListedSnapshot[], now: readonly ListedSnapshot[]): string[] {
  const versions = new Map(before.map(({ time, facts }) => [time, facts]));
  const changed: string[] = [];
  let isOther = before.length !== now.length;
  for (const { time, facts } of now) {
    const earlier = versions.get(time);
    // Which one is the latest depends on which ones are finished.
    if (earlier === undefined || earlier.finished !== facts.finished) isOther = true;
    if (earlier !== undefined && earlier.version !== facts.version) changed.push(formatBackupTime(time));
  }
  return isOther ? ['', ...changed] : changed;
}

function onlyIn(some: ListedGroups, others: ListedGroups): string[] {
  return [...some.keys()].filter((key) => !others.has(key));
}

function below(namespace: Namespace, path: string): string {
  const parent = namespacePath(namespace);
  return parent === '' ? path : `${parent}/${path}`;
}
