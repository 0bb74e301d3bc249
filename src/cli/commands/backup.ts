/** `pbsfs backup`: directories, images and files become a snapshot. */
import { hostname } from 'node:os';
import { archiveModes, type ArchiveMode, type ArchiveResult, type BackupObserver, type BackupRequest } from '../../backup/backup-request.js';
import { parseArchiveSpecs, type ArchiveSpec } from '../../backup/archive-spec.js';
import { UsageError } from '../../errors.js';
import { formatBackupTime, parseBackupTime } from '../../format/backup-time.js';
import { parseNamespace } from '../../format/namespace.js';
import { backupTypes, isBackupId, isBackupType, snapshotPath, type GroupName } from '../../format/snapshot-name.js';
import type { Datastore } from '../../store/datastore.js';
import { openDatastore } from '../../store/open.js';
import { command, jsonOption, type OptionValues } from '../command.js';
import { readEncryption } from '../encryption-options.js';
import { interruptible } from '../interrupt.js';
import { openProgress, type ProgressReport } from '../progress.js';
import { ReportedError } from '../report.js';
import { encryptionOptions, sourceOptions, storeOption } from '../source-options.js';
import { durationText, sizeText } from '../text.js';

const chunkKibMin = 64;
const chunkKibMax = 4096;
const entriesMaxDefault = 1_048_576;

const options = {
  ...storeOption,
  ns: { ...sourceOptions.ns, describe: 'back up into this namespace' },
  type: { type: 'string', describe: 'vm, ct or host (default: host)', completion: { words: backupTypes } },
  id: { type: 'string', describe: 'name of the group (default: the name of this host)' },
  time: { type: 'string', describe: 'time of the snapshot, 2026-11-21T19:00:00Z or seconds since 1970 (default: now)' },
  mode: {
    type: 'string',
    describe: 'legacy, data or metadata: how archives are written (default: metadata where the previous snapshot is split, else data)',
    completion: { words: archiveModes },
  },
  ...encryptionOptions,
  exclude: { type: 'string', multiple: true, describe: 'pattern of what is left out, as a line of .pxarexclude; may be given several times' },
  'skip-lost-and-found': { type: 'boolean', describe: 'leave out directories called lost+found' },
  'all-file-systems': { type: 'boolean', describe: 'also what is mounted below the directory' },
  'include-dev': { type: 'string', multiple: true, describe: 'also the file system that this path is on; may be given several times', completion: 'directory' },
  'skip-unreadable': { type: 'boolean', describe: 'leave out what may not be read, with a warning, instead of stopping' },
  'skip-e2big-xattr': { type: 'boolean', describe: 'leave out extended attributes that are too many or too large, with a warning, instead of stopping' },
  'entries-max': { type: 'string', describe: `most entries of the directories on one path together (default: ${entriesMaxDefault})` },
  'chunk-size': { type: 'string', describe: `average size of chunks of archives in KiB, a power of two, ${chunkKibMin} to ${chunkKibMax} (default: ${chunkKibMax})` },
  changed: { type: 'string', multiple: true, describe: 'NAME.img=FILE: read only the ranges that FILE lists (JSON), or with ,granularity=BYTES a bitmap', completion: 'file' },
  'changed-since': { type: 'string', multiple: true, describe: 'NAME.img=CSUM: the index that the list began after; another one means a full read' },
  owner: { type: 'string', describe: 'owner of a new group (default: root@pam), and who must own an existing one' },
  notes: { type: 'string', describe: 'notes of the snapshot' },
  json: { ...jsonOption, describe: 'print a JSON object a line for each event, the last one with the result' },
} as const;

export const backupCommand = command({
  name: 'backup',
  summary: 'Back up directories, disk images and files into a new snapshot',
  positionals: [
    {
      name: 'NAME.pxar:DIR | NAME.img:FILE-OR-DEVICE | NAME.conf:FILE',
      describe: 'what becomes what; `-` as FILE is standard input',
      completion: 'file',
      many: true,
    },
  ],
  options,
  examples: [
    ['pbsfs backup --store /srv/store etc.pxar:/etc', 'a directory, as host/<hostname>/<now>'],
    ['pbsfs backup --store /srv/store --type vm --id 120 drive-scsi0.img:/dev/vdb qemu-server.conf:/etc/vm.conf', 'a disk and its configuration'],
    ['pg_dump db | pbsfs backup --store /srv/store --id db dump.img:-', 'whatever a program writes'],
    ['pbsfs backup --store /srv/store --keyfile /root/key.json root.pxar:/', 'encrypted'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'busy', 'exists', 'warnings', 'interrupted'],
  run: async (values, texts) => {
    const specs = parseArchiveSpecs(texts);
    const report = await openProgress({ json: values.json ?? false });
    try {
      const store = await openDatastore(values.store ?? missing('--store DIR', 'says which datastore'));
      try {
        await interruptible((signal) => backUp(store, specs, values, report, signal), (line) => report.log(line));
      } finally {
        await store.close();
      }
    } finally {
      report.end();
    }
  },
});

async function backUp(store: Datastore, specs: readonly ArchiveSpec[], values: OptionValues<typeof options>, report: ProgressReport, signal: AbortSignal): Promise<void> {
  const request = await requestOf(store, specs, values, report, signal);
  const { runBackup } = await import('../../backup/backup.js');
  report.event('start', { snapshot: snapshotPath({ ...request.group, time: request.time }) });
  const result = await runBackup(request);
  const path = snapshotPath(result.snapshot);
  const sums = { bytes: sum(result.archives, 'bytes'), bytesReused: sum(result.archives, 'bytesReused'), bytesStored: sum(result.archives, 'bytesStored') };
  const warned = result.warnings === 0 ? '' : `, with ${result.warnings} warning${result.warnings === 1 ? '' : 's'}`;
  const figures = `${sizeText(sums.bytes)}, ${sizeText(sums.bytesReused)} of it reused, ${sizeText(sums.bytesStored)} stored`;
  report.log(`${path}: done in ${durationText(result.durationMs / 1000)}${warned}: ${figures}`);
  report.event('finished', { snapshot: path, owner: result.owner, ...sums, warnings: result.warnings, durationMs: Math.round(result.durationMs) });
  if (result.warnings > 0) throw new ReportedError('warnings');
}

async function requestOf(
  store: Datastore,
  specs: readonly ArchiveSpec[],
  values: OptionValues<typeof options>,
  report: ProgressReport,
  signal: AbortSignal,
): Promise<BackupRequest> {
  const images = specs.filter(({ kind }) => kind === 'image').map(({ name }) => name);
  return {
    store,
    group: groupOf(values, report),
    time: timeOf(values.time),
    specs,
    mode: modeOf(values.mode),
    encryption: await readEncryption(values, (line) => report.warn(line)),
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
    observer: observerOf(report),
  };
}

async function changedOf(images: readonly string[], { changed = [], 'changed-since': since = [] }: OptionValues<typeof options>): Promise<BackupRequest['changed']> {
  if (changed.length === 0 && since.length === 0) return new Map();
  const { readChangedBlocks } = await import('../../backup/changed-blocks.js');
  return await readChangedBlocks({ images, changed, since });
}

function observerOf(report: ProgressReport): BackupObserver {
  return {
    log: (line) => report.log(line),
    warn: (line) => report.warn(line),
    progress: (name, figures) => report.progress(name, figures),
    finishedArchive: (result) => {
      report.event('archive', { ...result, durationMs: Math.round(result.durationMs) });
      report.log(archiveLine(result));
    },
  };
}

/** `etc.pxar: 12.0 MiB in 345 files, 11.0 MiB reused (91%), 0.3 MiB stored, in 0.5 s`. */
function archiveLine({ name, bytes, bytesReused, bytesStored, durationMs, files }: ArchiveResult): string {
  const inFiles = files === undefined ? '' : ` in ${files} files`;
  const reused = bytesReused === 0 ? '' : `, ${sizeText(bytesReused)} reused (${Math.floor((bytesReused / bytes) * 100)}%)`;
  return `${name}: ${sizeText(bytes)}${inFiles}${reused}, ${sizeText(bytesStored)} stored, in ${(durationMs / 1000).toFixed(1)} s`;
}

const idLengthSafe = 128;

function groupOf({ ns = '', type = 'host', id = hostname() }: OptionValues<typeof options>, report: ProgressReport): GroupName {
  if (!isBackupType(type)) throw new UsageError(`--type: '${type}' is no type of backup; it is vm, ct or host`);
  if (!isBackupId(id)) throw new UsageError(`--id: '${id}' can't name a group; letters, digits, '_', '-' and '.' can, not beginning with '-' or '.'`);
  if (id.length > idLengthSafe) report.log(`an id of ${id.length} characters is more than some servers can work with (${idLengthSafe} is safe)`);
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

function includeDevicesOf(values: OptionValues<typeof options>): readonly string[] {
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

function sum(results: readonly ArchiveResult[], member: 'bytes' | 'bytesReused' | 'bytesStored'): number {
  return results.reduce((total, result) => total + result[member], 0);
}

function missing(option: string, what: string): never {
  throw new UsageError(`${option} is missing: it ${what}`);
}
