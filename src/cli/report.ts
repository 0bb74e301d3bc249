/** How a command ends that did not succeed: one line for people, or JSON for programs, and the exit status. */
import { codeOf, messageOf } from '../errors.js';
import { exitStatusOf, exitStatuses, type ExitStatus, type ExitStatusName } from './exit-status.js';

const stacksMax = 10;

/** Ends a command that told on the way what was wrong. */
export class ReportedError extends Error {
  constructor(readonly status: ExitStatusName) {
    super('told before');
  }
}

/** `{"error":{"code","message","exitStatus"}}` with `json`; PBSFS_DEBUG=1 adds where it was thrown. */
export function reportError(error: unknown, json: boolean): ExitStatus {
  if (error instanceof ReportedError) return exitStatuses[error.status];
  const exitStatus = exitStatusOf(error);
  if (exitStatus === exitStatuses.outputClosed) return exitStatus;
  const message = messageOf(error);
  const document = { error: { code: codeOf(error) ?? 'INTERNAL', message, exitStatus } };
  process.stderr.write(json ? `${JSON.stringify(document)}\n` : `pbsfs: ${message}\n`);
  if (process.env.PBSFS_DEBUG === '1') process.stderr.write(`${stacksOf(error)}\n`);
  return exitStatus;
}

function stacksOf(error: unknown): string {
  const stacks: string[] = [];
  for (let at = error; at instanceof Error && stacks.length < stacksMax; at = at.cause) stacks.push(at.stack ?? at.message);
  return stacks.join('\ncaused by ');
}
