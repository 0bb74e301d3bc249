/** From what was typed to the request of a backup. */
import { hostname } from 'node:os';
import type { ArchiveSpec } from '../backup/archive-spec.js';
import { archiveModes, type ArchiveMode, type BackupObserver, type BackupRequest } from '../backup/backup-request.js';
import { UsageError } from '../errors.js';
import { formatBackupTime, parseBackupTime } from '../format/backup-time.js';
import { parseNamespace } from '../format/namespace.js';
import { isBackupId, isBackupType, type GroupName } from '../format/snapshot-name.js';
import type { Datastore } from '../store/datastore.js';
import { chunkKibMax, chunkKibMin, entriesMaxDefault, type BackupValues } from './backup-options.js';
import { readEncryption } from './encryption-options.js';

/** USAGE for what makes no sense, and what reading keys and lists of changes throws. */
export async function backupRequest(
  store: Datastore,
  specs: readonly ArchiveSpec[],
  values: BackupValues,
  observer: BackupObserver,
  signal: AbortSignal,
): Promise<BackupRequest> {
  const images = specs.filter(({ kind }) => kind === 'image').map(({ name }) => name);
  return {
    store,
    group: groupOf(values, observer),
    time: timeOf(values.time),
    specs,
    mode: modeOf(values.mode),
    encryption: await readEncryption(values, (line) => observer.warn(line)),
    owner: values.owner,
    notes: values.notes,
    walk: {
      excludes: (values.exclude ?? []).map((text) => Buffer.from(text)),
      skipLostAndFound: values['skip-lost-and-found'] ?? false,
      allFileSystems: values['all-file-systems'] ?? false,
      includeDevices: includeDevicesOf(values),
      skipUnreadable: values['skip-unreadable'] ?? false,
      skipE2bigXattr: values['skip-e2big-xattr'] ?? false,
      entriesMax: positiveInteger(values['entries-max'], '--entries-max') ?? entriesMaxDefault,
    },
    chunkAverageBytes: chunkAverageOf(values['chunk-size']),
    changed: await changedOf(images, values),
    signal,
    observer,
  };
}

async function changedOf(images: readonly string[], { changed = [], 'changed-since': since = [] }: BackupValues): Promise<BackupRequest['changed']> {
  if (changed.length === 0 && since.length === 0) return new Map();
  const { readChangedBlocks } = await import('../backup/changed-blocks.js');
  return await readChangedBlocks({ images, changed, since });
}

const idLengthSafe = 128;

function groupOf({ ns = '', type = 'host', id = hostname() }: BackupValues, observer: Pick<BackupObserver, 'log'>): GroupName {
  if (!isBackupType(type)) throw new UsageError(`--type: '${type}' is no type of backup; it is vm, ct or host`);
  if (!isBackupId(id)) throw new UsageError(`--id: '${id}' can't name a group; letters, digits, '_', '-' and '.' can, not beginning with '-' or '.'`);
  if (id.length > idLengthSafe) observer.log(`an id of ${id.length} characters is more than some servers can work with (${idLengthSafe} is safe)`);
  return { namespace: parseNamespace(ns), type, id };
}

function timeOf(text: string | undefined): number {
  if (text === undefined) return Math.floor(Date.now() / 1000);
  const time = /^[0-9]{1,12}$/.test(text) ? Number(text) : parseBackupTime(text);
  if (time === undefined || time < 1) throw new UsageError(`--time: '${text}' is no time of a snapshot; write one like 2026-11-21T19:00:00Z`);
  // Throws for what is after the year 9999.
  formatBackupTime(time);
  return time;
}

function modeOf(text: string | undefined): ArchiveMode | undefined {
  const mode = archiveModes.find((name) => name === text);
  if (text !== undefined && mode === undefined) throw new UsageError(`--mode: '${text}' is none of ${archiveModes.join(', ')}`);
  return mode;
}

function includeDevicesOf(values: BackupValues): readonly string[] {
  const paths = values['include-dev'] ?? [];
  if (paths.length > 0 && values['all-file-systems'] === true) throw new UsageError('--include-dev has no meaning beside --all-file-systems');
  return paths;
}

function chunkAverageOf(text: string | undefined): number {
  const kib = positiveInteger(text, '--chunk-size') ?? chunkKibMax;
  if (kib < chunkKibMin || kib > chunkKibMax || !Number.isInteger(Math.log2(kib))) {
    throw new UsageError(`--chunk-size: ${kib} KiB is no power of two from ${chunkKibMin} to ${chunkKibMax}`);
  }
  return kib * 1024;
}

function positiveInteger(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : 0;
  if (value < 1) throw new UsageError(`${option}: '${text}' is not a number of at least 1`);
  return value;
}
