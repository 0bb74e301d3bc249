/** What the daemon of a writable mount does for a group, as commands see it. */
import { closeSync, constants, openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { PbsfsError, StoreError, UsageError, codeOf, type ErrorCode } from '../errors.js';
import { getXattr, setXattr } from '../os/xattrs.js';
import { controlName, type ControlState } from '../tree/staging/commit-control.js';
import { interruptible } from './interrupt.js';
import { openProgress, type ProgressReport } from './progress.js';
import { ReportedError } from './report.js';
import { sizeText } from './text.js';

const pollMs = 100;
const name = Buffer.from(controlName);

/** Has the daemon do what `request` says, and tells what it tells. `path`: directory of the group, or its directory staging. */
export async function askDaemon(path: string, request: object, { json }: { readonly json: boolean }): Promise<void> {
  const report = await openProgress({ json });
  try {
    await interruptible((signal) => follow(path, request, report, signal), (line) => report.log(line));
  } finally {
    report.end();
  }
}

async function follow(path: string, request: object, report: ProgressReport, signal: AbortSignal): Promise<void> {
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
  if (state === 'failed') throw new PbsfsError((error?.code ?? 'CLOSED') as ErrorCode, error?.message ?? 'it failed');
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
    if (codeOf(cause) === 'EINVAL') throw new StoreError('LOCKED', `${path} is being committed or staged already, or nothing is staged there`, { cause });
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
