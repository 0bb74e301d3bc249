/** Attributes that could not be set. The first ones of each class are told one by one, all of them are counted. */
import { codeOf, messageOf } from '../errors.js';
import { printableName } from '../vfs/name.js';

export type LossClass = 'owner' | 'set-id bits' | 'permissions' | 'extended attributes' | 'file capabilities' | 'ACLs' | 'flags' | 'project ids' | 'times' | 'device' | 'fifo' | 'socket';

const toldMax = 5;

/** What a file system, or a user without privileges, may refuse. ENOSPC and EDQUOT: an attribute that is too large for its place. */
const refusals = new Set(['EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOTTY', 'ENOSYS', 'EINVAL', 'ENODATA', 'E2BIG', 'ERANGE', 'ENODEV']);
const noRoom = new Set(['ENOSPC', 'EDQUOT']);

export class Losses {
  readonly #warn: (line: string) => void;
  readonly #counts = new Map<LossClass, number>();

  constructor(warn: (line: string) => void) {
    this.#warn = warn;
  }

  get count(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Whether `set` went well. Throws errors that are no refusals. */
  attempt(what: LossClass, path: () => Buffer, set: () => void): boolean {
    try {
      set();
      return true;
    } catch (error) {
      const code = codeOf(error) ?? '';
      const isAttribute = what === 'extended attributes' || what === 'ACLs' || what === 'file capabilities';
      if (!refusals.has(code) && !(isAttribute && noRoom.has(code))) throw error;
      this.note(what, path, messageOf(error));
      return false;
    }
  }

  /** As attempt(), for something that may not be made at all; a symbolic link may. */
  attemptNode(kind: 'symlink' | 'device' | 'fifo' | 'socket', path: () => Buffer, make: () => void): boolean {
    if (kind !== 'symlink') return this.attempt(kind, path, make);
    make();
    return true;
  }

  note(what: LossClass, path: () => Buffer, reason: string): void {
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    const subject = what === 'device' || what === 'fifo' || what === 'socket' ? `this ${what}` : `its ${what}`;
    if (count <= toldMax) this.#warn(`${printableName(path())}: ${subject} could not be restored: ${reason}`);
    if (count === toldMax) this.#warn(`more ${what} that can't be restored are only counted`);
  }

  /** `owner of 12 entries`, for classes of which more were lost than told. */
  totals(): string[] {
    return [...this.#counts].filter(([, count]) => count > toldMax).map(([what, count]) => `${what}: ${count} times not restored`);
  }
}
