/** Which errors of a source leave one entry out and which end the backup. Format: pxar, section 3.2 */
import { codeOf } from '../errors.js';
import { printableName } from '../vfs/name.js';

export type SourceStage = 'stat' | 'open' | 'attributes' | 'content';

const doing: Readonly<Record<SourceStage, string>> = {
  stat: 'look at it',
  open: 'open it',
  attributes: 'read its attributes',
  content: 'read its content',
};

/** `/a/b` as messages show it. */
export function shownPath(path: Buffer): string {
  return path.length === 0 ? '/' : printableName(path);
}

/**
 * The line that says why the entry at `path` is left out. Throws the error, with the path in it, if it is one that ends the backup.
 */
export function skipReason(error: unknown, stage: SourceStage, path: Buffer, skipUnreadable: boolean): string {
  const code = codeOf(error);
  const early = stage === 'stat' || stage === 'open';
  if (code === 'ESTALE' && stage !== 'content') return `${shownPath(path)} is left out: its handle is stale (ESTALE)`;
  if (code === 'ENOENT' && early) return `${shownPath(path)} is left out: it vanished while the backup ran`;
  if (code === 'EACCES' && early && skipUnreadable) return `${shownPath(path)} is left out: no permission to ${doing[stage]}`;
  throw sourceError(error, stage, path);
}

/** The error, its message with the path; its code, errno and syscall stay. */
export function sourceError(error: unknown, stage: SourceStage, path: Buffer): unknown {
  const code = codeOf(error);
  if (!(error instanceof Error) || code === undefined) return error;
  const { errno, syscall } = error as NodeJS.ErrnoException;
  if (errno === undefined) return error;
  const hint = code === 'EACCES' ? '; --skip-unreadable leaves out what cannot be read' : '';
  const message = `${shownPath(path)}: cannot ${doing[stage]}: ${error.message}${hint}`;
  return Object.assign(new Error(message, { cause: error }), { code, errno, syscall, path: path.toString() });
}
