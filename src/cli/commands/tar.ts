/** `pbsfs tar`: an archive of a snapshot as a tar stream. */
import { UsageError } from '../../errors.js';
import { snapshotPath } from '../../format/snapshot-name.js';
import { findContent } from '../../restore/find-content.js';
import { writeTar } from '../../restore/tar-writer.js';
import { command, jsonOption, type OptionValues } from '../command.js';
import { interruptible } from '../interrupt.js';
import { archivePositional, snapshotOptions, snapshotPositional, withSnapshot, type OpenSnapshot } from '../open-snapshot.js';
import { parsePatterns, patternOption } from '../pattern-option.js';
import { writePipe } from '../pipe-output.js';
import { openProgress, type ProgressReport } from '../progress.js';
import { ReportedError } from '../report.js';
import { restoreObserver } from '../restore-observer.js';

const options = {
  ...snapshotOptions,
  pattern: patternOption,
  json: { ...jsonOption, describe: 'report errors as JSON' },
} as const;

export const tarCommand = command({
  name: 'tar',
  summary: 'Write an archive of a snapshot to standard output as a tar stream (pax)',
  positionals: [snapshotPositional, archivePositional],
  options,
  examples: [
    ['pbsfs tar --store /srv/store ct/113/latest root.pxar | zstd > root.tar.zst', 'to take away'],
    ["pbsfs tar --store /srv/store host/web1/latest etc.pxar --pattern '/ssh/**' | tar -xp --acls --xattrs --xattrs-include='*'", 'a part, through tar'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'warnings', 'interrupted', 'outputClosed'],
  run: async (values, [, archive = ''], [reference = Buffer.alloc(0)]) => {
    const report = await openProgress({ json: false });
    try {
      const written = (signal: AbortSignal): Promise<void> =>
        withSnapshot(values, reference, (line) => report.warn(line), (opened) => write(opened, archive, values, report, signal));
      await interruptible(written, (line) => report.log(line));
    } finally {
      report.end();
    }
  },
});

async function write(
  { context, state }: OpenSnapshot,
  archive: string,
  values: OptionValues<typeof options>,
  report: ProgressReport,
  signal: AbortSignal,
): Promise<void> {
  const content = findContent(state, archive);
  if (content.kind !== 'archive') throw new UsageError(`${snapshotPath(state.snapshot)}/${archive} is no archive of files: pbsfs restore writes it to standard output`);
  const patterns = parsePatterns(values.pattern ?? []);
  const result = await writeTar({ context, state, content, patterns, write: writePipe, observer: restoreObserver(report, content.name), signal });
  if (result.failures > 0) throw new ReportedError('failed');
  if (result.warnings > 0) throw new ReportedError('warnings');
}
