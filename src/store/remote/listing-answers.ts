/**
 * What a server's listings say, checked and made small: unknown members are left out, and so is what has names that no datastore of ours
 * can have. Format: protocol, section 8.2.
 */
import { FormatError, StoreError } from '../../errors.js';
import { archiveKind, manifestFileName, type ArchiveKind } from '../../format/archive-name.js';
import { isBackupTime } from '../../format/backup-time.js';
import type { JsonObject, JsonValue } from '../../format/json.js';
import { count, integer, members, optional, text } from '../../format/json-shape.js';
import { isNamespaceChild, parseNamespace, type Namespace } from '../../format/namespace.js';
import { compareGroups, isBackupId, isBackupType, type GroupName } from '../../format/snapshot-name.js';
import type { SnapshotFacts, StoredFile, StoreSpace } from '../datastore.js';

const rowsMax = 1 << 20;
const filesMax = 1 << 12;

const optionalText = optional(text);
const optionalCount = optional(count);

/** Thousands of snapshots have files of the same few names. */
type FileNames = Map<string, { readonly name: string; readonly kind: ArchiveKind | undefined }>;

export interface ListedGroup {
  readonly group: GroupName;
  readonly owner: string | undefined;
  /** First line of the notes, with its end if it has one; then there may be more. */
  readonly comment: string | undefined;
}

export interface ListedSnapshot {
  /** Seconds since 1970. */
  readonly time: number;
  readonly facts: SnapshotFacts;
}

/** By `type/id`, in the order of listings. */
export type ListedGroups = ReadonlyMap<string, ListedGroup>;
/** By `type/id`, each oldest first. */
export type ListedSnapshots = ReadonlyMap<string, readonly ListedSnapshot[]>;

/** All throw PROTOCOL. */
export function readGroups(answer: JsonValue, namespace: Namespace): ListedGroups {
  return checked('groups', () => {
    const groups = rows(answer, 'groups').flatMap((row): ListedGroup[] => {
      const name = groupOf(row);
      if (name === undefined) return [];
      return [{ group: { namespace, ...name }, owner: optionalText(row['owner'], 'owner'), comment: optionalText(row['comment'], 'comment') }];
    });
    groups.sort((a, b) => compareGroups(a.group, b.group));
    return new Map(groups.map((each) => [groupKeyOf(each.group), each]));
  });
}

export function readSnapshots(answer: JsonValue): ListedSnapshots {
  return checked('snapshots', () => {
    const names: FileNames = new Map();
    const snapshots = new Map<string, ListedSnapshot[]>();
    for (const row of rows(answer, 'snapshots')) {
      const time = integer(row['backup-time'], 'backup-time');
      if (time < 1 || !isBackupTime(time)) continue;
      const key = `${text(row['backup-type'], 'backup-type')}/${text(row['backup-id'], 'backup-id')}`;
      const listed = snapshots.get(key);
      if (listed === undefined && groupOf(row) === undefined) continue;
      const snapshot = { time, facts: factsOf(row, names) };
      if (listed === undefined) snapshots.set(key, [snapshot]);
      else listed.push(snapshot);
    }
    for (const listed of snapshots.values()) listed.sort((a, b) => a.time - b.time);
    return snapshots;
  });
}

/** Names directly below `parent`, sorted. A server names `parent` too, there or not. */
export function readNamespaces(answer: JsonValue, parent: Namespace): readonly string[] {
  return checked('namespaces', () => {
    const found = rows(answer, 'namespaces').flatMap((row): string[] => {
      const namespace = namespaceOf(text(row['ns'], 'ns'));
      const name = namespace?.at(parent.length);
      const isChild = namespace?.length === parent.length + 1 && parent.every((component, i) => component === namespace[i]);
      return isChild && name !== undefined && isNamespaceChild(parent, name) ? [name] : [];
    });
    return [...new Set(found)].sort();
  });
}

/** Bytes; what a server does not tell is 0. */
export function readSpace(answer: JsonValue): StoreSpace {
  return checked('the status', () => {
    const status = members(answer, 'status');
    return { bytes: count(status['total'], 'total'), bytesFree: count(status['avail'], 'avail') };
  });
}

export function groupKeyOf({ type, id }: Pick<GroupName, 'type' | 'id'>): string {
  return `${type}/${id}`;
}

/** The rows of an answer that has to be a list of objects. */
export function rows(answer: JsonValue, what: string): JsonObject[] {
  if (Array.isArray(answer) && answer.length > rowsMax) throw new FormatError('LIMIT_EXCEEDED', `${what}: more than the ${rowsMax} that are read`);
  return objects(answer, what);
}

/** FormatError as PROTOCOL. */
export function checked<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new StoreError('PROTOCOL', `the server's answer about ${what} can't be understood: ${cause.message}`, { cause });
  }
}

/** Undefined for names that are none of ours; BAD_STRUCTURE without names. */
export function groupOf(row: JsonObject): Pick<GroupName, 'type' | 'id'> | undefined {
  const type = text(row['backup-type'], 'backup-type');
  const id = text(row['backup-id'], 'backup-id');
  return isBackupType(type) && isBackupId(id) ? { type, id } : undefined;
}

/**
 * Sizes of indexes are those of what they describe, and a log that was sent later has none: only those of blobs are of the file. All
 * that the listing says of the snapshot goes into its version, because nothing of it stays as it is when the manifest is replaced.
 */
function factsOf(row: JsonObject, names: FileNames): SnapshotFacts {
  const list = objects(row['files'], 'files');
  if (list.length > filesMax) throw new FormatError('LIMIT_EXCEEDED', `a snapshot of ${list.length} files: more than the ${filesMax} that are read`);
  const files: StoredFile[] = [];
  for (const file of list) {
    const { name, kind } = nameOf(text(file['filename'], 'filename'), names);
    const size = optionalCount(file['size'], 'size');
    if (kind !== undefined) files.push({ name, size: kind === 'blob' ? size : undefined });
  }
  files.sort(byName);
  const isProtected = row['protected'] === true;
  return {
    files,
    finished: files.some(({ name }) => name === manifestFileName),
    protected: isProtected,
    version: JSON.stringify([list, isProtected, row['comment'], row['fingerprint'], row['verification']]),
  };
}

function byName(a: StoredFile, b: StoredFile): number {
  return a.name < b.name ? -1 : 1;
}

function namespaceOf(name: string): Namespace | undefined {
  try {
    return parseNamespace(name);
  } catch {
    return undefined;
  }
}

function nameOf(text: string, names: FileNames): { readonly name: string; readonly kind: ArchiveKind | undefined } {
  const known = names.get(text);
  if (known !== undefined) return known;
  const named = { name: text, kind: archiveKind(text) };
  names.set(text, named);
  return named;
}

/** As listOf(members), which makes a text for each of them. */
function objects(value: JsonValue | undefined, what: string): JsonObject[] {
  if (!Array.isArray(value)) throw new FormatError('BAD_STRUCTURE', `${what} is not a list`);
  return value.map((item: JsonValue) => members(item, what));
}
