/** `pbsfs restore`: what is in a snapshot becomes files, a disk, or the input of a program. */
import type { SnapshotContent } from '../../archive/snapshot-contents.js';
import { UsageError } from '../../errors.js';
import { snapshotPath } from '../../format/snapshot-name.js';
import type { ByteTarget } from '../../restore/byte-target.js';
import { findContent, type FoundContent } from '../../restore/find-content.js';
import type { Replacing, RestoreClass, RestoreObserver, RestoreOptions, RestoreResult } from '../../restore/restore-options.js';
import { command, jsonOption, type OptionValues } from '../command.js';
import { interruptible } from '../interrupt.js';
import { archivePositional, snapshotOptions, snapshotPositional, withSnapshot, type OpenSnapshot } from '../open-snapshot.js';
import { parsePatterns, patternOption } from '../pattern-option.js';
import { writePipe } from '../pipe-output.js';
import { openProgress, type ProgressReport } from '../progress.js';
import { ReportedError } from '../report.js';
import { restoreObserver } from '../restore-observer.js';
import { durationText, sizeText } from '../text.js';

const skipOptions = {
  'no-owner': { type: 'boolean', describe: 'files belong to whoever restores; set-id bits are left out then' },
  'no-permissions': { type: 'boolean', describe: 'permissions are those of the archive less the umask' },
  'no-xattrs': { type: 'boolean', describe: 'no extended attributes' },
  'no-acls': { type: 'boolean', describe: 'no ACLs' },
  'no-fcaps': { type: 'boolean', describe: 'no file capabilities' },
  'no-flags': { type: 'boolean', describe: 'no flags of chattr and FAT, and no project ids' },
  'no-times': { type: 'boolean', describe: 'files have the time at which they are restored' },
  'no-devices': { type: 'boolean', describe: 'no device nodes' },
  'no-fifos': { type: 'boolean', describe: 'no fifos' },
  'no-sockets': { type: 'boolean', describe: 'no sockets' },
} as const;

const options = {
  ...snapshotOptions,
  pattern: patternOption,
  'allow-existing-dirs': { type: 'boolean', describe: 'restore into a directory that is not empty, and into directories in it' },
  overwrite: { type: 'boolean', describe: 'the same, and replace whatever is no directory; also an image or blob file' },
  'overwrite-files': { type: 'boolean', describe: 'files replace what has their name and is no directory' },
  'overwrite-symlinks': { type: 'boolean', describe: 'symbolic links do' },
  'overwrite-hardlinks': { type: 'boolean', describe: 'hard links do' },
  ...skipOptions,
  json: { ...jsonOption, describe: 'print a JSON object a line for each event, the last one with the result' },
} as const;

type Values = OptionValues<typeof options>;

export const restoreCommand = command({
  name: 'restore',
  summary: 'Restore an archive to a directory, or an image or blob to a file, a block device or standard output',
  positionals: [
    snapshotPositional,
    archivePositional,
    { name: 'TARGET', describe: 'directory of an archive; file or block device of an image; file of a blob; `-` for standard output', completion: 'file' },
  ],
  options,
  examples: [
    ["pbsfs restore --store /srv/store host/web1/latest etc.pxar /restore/etc --pattern '/ssh/**'", 'a part of an archive'],
    ['pbsfs restore --store /srv/store vm/120/latest drive-scsi0.img /dev/vdc', 'a disk'],
    ['pbsfs restore --store /srv/store vm/120/latest qemu-server.conf -', 'a configuration, to read'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'exists', 'warnings', 'interrupted', 'outputClosed'],
  run: async (values, [, archive = '', target = ''], [reference = Buffer.alloc(0), , rawTarget = Buffer.alloc(0)]) => {
    // What goes to standard output must not meet events there.
    const report = await openProgress({ json: (values.json ?? false) && target !== '-' });
    try {
      const restored = (signal: AbortSignal): Promise<void> =>
        withSnapshot(values, reference, (line) => report.warn(line), (opened) => restore(opened, { values, archive, target, rawTarget, report, signal }));
      await interruptible(restored, (line) => report.log(line));
    } finally {
      report.end();
    }
  },
});

interface Call {
  readonly values: Values;
  readonly archive: string;
  readonly target: string;
  readonly rawTarget: Buffer;
  readonly report: ProgressReport;
  readonly signal: AbortSignal;
}

async function restore(opened: OpenSnapshot, call: Call): Promise<void> {
  const content = findContent(opened.state, call.archive);
  // The threads start while the rest is loaded.
  if (content.kind === 'archive' || content.kind === 'image' || content.kind === 'stream') opened.context.cache.start();
  const path = `${snapshotPath(opened.state.snapshot)}/${content.name}`;
  const begun = performance.now();
  call.report.event('start', { snapshot: snapshotPath(opened.state.snapshot), archive: content.name });
  const result = content.kind === 'archive' ? await restoreTree(opened, content, call) : await restoreFile(opened, content, call);
  const seconds = (performance.now() - begun) / 1000;
  const inFiles = content.kind === 'archive' ? ` in ${result.files} files, ${result.directories} directories, ${result.others} others` : '';
  call.report.log(`${path}: restored ${sizeText(result.bytes)}${inFiles} in ${durationText(seconds)}${troubleText(result)}`);
  call.report.event('finished', { archive: content.name, ...result, durationMs: Math.round(seconds * 1000) });
  if (result.failures > 0) throw new ReportedError('failed');
  if (result.warnings > 0) throw new ReportedError('warnings');
}

function troubleText({ warnings, failures }: RestoreResult): string {
  const failed = failures === 0 ? '' : `; ${failures} could not be restored`;
  return `${failed}${warnings === 0 ? '' : `; ${warnings} not as they were`}`;
}

async function restoreTree({ context, state }: OpenSnapshot, content: SnapshotContent, call: Call): Promise<RestoreResult> {
  const { values, target, rawTarget, report, signal } = call;
  if (target === '-') throw new UsageError(`${content.name} is an archive: pbsfs tar writes it to standard output`);
  const { restoreArchive } = await import('../../restore/archive-restore.js');
  const observer = restoreObserver(report, content.name);
  return await restoreArchive({ context, state, content, target: rawTarget, options: treeOptions(values), observer, signal });
}

async function restoreFile(opened: OpenSnapshot, content: FoundContent, { values, target, report, signal }: Call): Promise<RestoreResult> {
  refuseTreeOptions(values, content.name);
  const { openByteTarget, pipeTarget } = await import('../../restore/byte-target.js');
  const overwrite = values.overwrite ?? false;
  const openTarget = (size: number): ByteTarget => (target === '-' ? pipeTarget(writePipe) : openByteTarget({ path: target, size, overwrite }));
  const bytes = await restoreBytesOf(opened, content, openTarget, restoreObserver(report, content.name), signal);
  return { files: 1, directories: 0, others: 0, bytes, warnings: 0, failures: 0 };
}

async function restoreBytesOf(
  { context, state }: OpenSnapshot,
  content: FoundContent,
  openTarget: (size: number) => ByteTarget,
  observer: RestoreObserver,
  signal: AbortSignal,
): Promise<number> {
  const { restoreBytes } = await import('../../restore/blob-restore.js');
  if (content.kind === 'manifest') return await restoreBytes(state.manifestJson, openTarget);
  if (content.kind === 'blob' || content.kind === 'unlisted') {
    const { openBlob } = await import('../../archive/blob-opener.js');
    const listed = 'files' in content ? content.files[0] : undefined;
    const fileName = 'files' in content ? content.files[0].filename : content.fileName;
    return await restoreBytes((await openBlob(context, state, fileName, listed)).content, openTarget);
  }
  const { restoreImage } = await import('../../restore/image-restore.js');
  return await restoreImage({ context, state, content, openTarget, observer, signal });
}

function treeOptions(values: Values): RestoreOptions {
  const all = values.overwrite === true;
  const replace = new Set<Replacing>(all ? ['files', 'symlinks', 'hardlinks', 'nodes'] : []);
  if (values['overwrite-files'] === true) replace.add('files');
  if (values['overwrite-symlinks'] === true) replace.add('symlinks');
  if (values['overwrite-hardlinks'] === true) replace.add('hardlinks');
  const skip = Object.keys(skipOptions).filter((name) => values[name as keyof typeof skipOptions] === true);
  return {
    skip: new Set(skip.map((name) => name.slice('no-'.length) as RestoreClass)),
    replace,
    allowExistingDirectories: replace.size > 0 || values['allow-existing-dirs'] === true,
    patterns: parsePatterns(values.pattern ?? []),
  };
}

/** Options that say something of directory trees. */
function refuseTreeOptions(values: Values, name: string): void {
  const kept = new Set([...Object.keys(snapshotOptions), 'overwrite', 'json']);
  const strange = (Object.keys(options) as (keyof typeof options)[]).find((option) => !kept.has(option) && values[option] !== undefined);
  if (strange !== undefined) throw new UsageError(`--${strange} has no meaning for ${name}, which is no archive of files`);
}
