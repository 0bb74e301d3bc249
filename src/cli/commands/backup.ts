/** `pbsfs backup`: directories, images and files become a snapshot. */
import { parseArchiveSpecs, type ArchiveSpec } from '../../backup/archive-spec.js';
import type { ArchiveResult, BackupObserver } from '../../backup/backup-request.js';
import { UsageError } from '../../errors.js';
import { snapshotPath } from '../../format/snapshot-name.js';
import type { Datastore } from '../../store/datastore.js';
import { backupOptions, type BackupValues } from '../backup-options.js';
import { backupRequest } from '../backup-request.js';
import { command } from '../command.js';
import { interruptible } from '../interrupt.js';
import { openLocation } from '../open-location.js';
import { openProgress, type ProgressReport } from '../progress.js';
import { ReportedError } from '../report.js';
import { durationText, sizeText } from '../text.js';

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
  options: backupOptions,
  examples: [
    ['pbsfs backup --store /srv/store etc.pxar:/etc', 'a directory, as host/<hostname>/<now>'],
    ['pbsfs backup --store /srv/store --type vm --id 120 drive-scsi0.img:/dev/vdb qemu-server.conf:/etc/vm.conf', 'a disk and its configuration'],
    ['pg_dump db | pbsfs backup --store /srv/store --id db dump.img:-', 'whatever a program writes'],
    ['pbsfs backup --store /srv/store --keyfile /root/key.json root.pxar:/', 'encrypted'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'busy', 'exists', 'warnings', 'interrupted'],
  run: async (values, texts) => {
    const specs = parseArchiveSpecs(texts);
    const report = await openProgress({ json: values.json ?? false });
    try {
      const store = await openLocation(values.store ?? missing('--store DIR (or --repository)', 'says which datastore'), values, (line) => report.warn(line));
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

async function backUp(store: Datastore, specs: readonly ArchiveSpec[], values: BackupValues, report: ProgressReport, signal: AbortSignal): Promise<void> {
  const request = await backupRequest(store, specs, values, observerOf(report), signal);
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

function sum(results: readonly ArchiveResult[], member: 'bytes' | 'bytesReused' | 'bytesStored'): number {
  return results.reduce((total, result) => total + result[member], 0);
}

function missing(option: string, what: string): never {
  throw new UsageError(`${option} is missing: it ${what}`);
}
