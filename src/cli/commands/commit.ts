/** `pbsfs commit`: what is staged in a group of a writable mount becomes a snapshot. */
import { closeSync, constants, openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { PbsfsError, StoreError, UsageError, codeOf, type ErrorCode } from '../../errors.js';
import { getXattr, setXattr } from '../../os/xattrs.js';
import { controlName, timeOf, type ControlState } from '../../tree/staging/commit-control.js';
import { command, jsonOption } from '../command.js';
import { interruptible } from '../interrupt.js';
import { openProgress, type ProgressReport } from '../progress.js';
import { ReportedError } from '../report.js';
import { sizeText } from '../text.js';

const pollMs = 100;
const name = Buffer.from(controlName);

export const commitCommand = command({
  name: 'commit',
  summary: 'Make a snapshot of what is staged in a writable mount',
  positionals: [{ name: 'GROUP', describe: 'directory of the group in the mount, or its directory staging', completion: 'directory' }],
  options: {
    time: { type: 'string', describe: 'time of the snapshot, 2026-11-21T19:00:00Z (default: now)' },
    notes: { type: 'string', describe: 'notes of the snapshot' },
    json: { ...jsonOption, describe: 'print a JSON object a line for each event, the last one with the result' },
  },
  examples: [['pbsfs commit /mnt/pbs/host/web1', 'the group can be listed meanwhile']],
  statuses: ['failed', 'notFound', 'noAccess', 'busy', 'exists', 'warnings', 'interrupted'],
  run: async ({ time, notes, json = false }, [group = '']) => {
    if (time !== undefined) timeOf(time);
    const report = await openProgress({ json });
    try {
      await interruptible((signal) => commit(group, { action: 'commit', ...(time !== undefined && { time }), ...(notes !== undefined && { notes }) }, report, signal), (line) => report.log(line));
    } finally {
      report.end();
    }
  },
});

/** Has the daemon do it, and tells what it tells. */
async function commit(path: string, request: object, report: ProgressReport, signal: AbortSignal): Promise<void> {
  const fd = openGroup(path);
  try {
    // An ordinary directory would just take the attribute.
    stateOf(fd, path);
    ask(fd, path, request);
    for (;;) {
      const state = stateOf(fd, path);
      const { linesBefore, lines, archivesBefore, archives } = state;
      tell(state, report);
      if (lines.length + archives.length > 0) {
        ask(fd, path, { action: 'seen', lines: linesBefore + lines.length, archives: archivesBefore + archives.length });
        if (state.state !== 'running') continue;
      }
      if (state.state !== 'running') return finish(state, report);
      await delay(pollMs, undefined, { signal }).catch(() => ask(fd, path, { action: 'cancel' }));
      if (signal.aborted) await delay(pollMs);
    }
  } finally {
    closeSync(fd);
  }
}

function tell({ state, lines, progress, archives }: ControlState, report: ProgressReport): void {
  for (const { kind, text } of lines) {
    if (kind === 'warning') report.warn(text);
    else report.log(text);
  }
  if (progress !== undefined && state === 'running') report.progress(progress.name, progress);
  for (const archive of archives) {
    report.event('archive', archive);
    report.log(`${archive.name}: ${sizeText(archive.bytes)}, ${sizeText(archive.bytesReused)} reused`);
  }
}

function finish({ state, error, snapshot, warnings = 0 }: ControlState, report: ProgressReport): void {
  if (state === 'failed') throw new PbsfsError((error?.code ?? 'CLOSED') as ErrorCode, error?.message ?? 'the commit failed');
  report.log(`${snapshot ?? ''}: done`);
  report.event('finished', { snapshot, warnings });
  if (warnings > 0) throw new ReportedError('warnings');
}

function openGroup(path: string): number {
  try {
    return openSync(path.replace(/\/staging\/?$/, ''), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new StoreError('NOT_FOUND', `${path} does not exist`, { cause });
    throw cause;
  }
}

function ask(fd: number, path: string, request: object): void {
  try {
    setXattr(fd, name, Buffer.from(JSON.stringify(request)));
  } catch (cause) {
    if (codeOf(cause) === 'EINVAL') throw new StoreError('LOCKED', `${path} is being committed already, or nothing is staged there`, { cause });
    throw cause;
  }
}

function stateOf(fd: number, path: string): ControlState {
  const value = controlOf(fd);
  if (value === undefined) throw new UsageError(`${path} is no group of a mount with --writable`);
  return JSON.parse(value.toString()) as ControlState;
}

function controlOf(fd: number): Buffer | undefined {
  try {
    return getXattr(fd, name);
  } catch (error) {
    // Not every file system has attributes.
    if (codeOf(error) === 'ENOTSUP' || codeOf(error) === 'EOPNOTSUPP') return undefined;
    throw error;
  }
}
