/** Which entries of an archive patterns select. Without patterns all are. Format: pxar, section 4.2. */
import { MatchList, type MatchPattern } from '../format/match-pattern.js';
import { fileTypes } from '../format/pxar/entry.js';

const slash = Buffer.from('/');

interface Level {
  /** Absolute in the archive, without a slash at the end: the root is empty. */
  readonly path: Buffer;
  /** What happens to entries that no pattern fits. */
  readonly selected: boolean;
}

export class Selection {
  readonly #patterns: MatchList | undefined;
  readonly #levels: Level[];

  constructor(patterns: readonly MatchPattern[]) {
    this.#patterns = patterns.length === 0 ? undefined : new MatchList(patterns);
    this.#levels = [{ path: Buffer.alloc(0), selected: patterns.length === 0 }];
  }

  /** Whether an entry of the current directory, which is no directory itself, is wanted. */
  selects(name: Buffer, mode: number): boolean {
    return this.#decide(this.#top(), name, mode).selected;
  }

  /** Goes into a directory. True: it is wanted itself; false: only if something in it is. */
  enter(name: Buffer): boolean {
    if (this.#patterns === undefined) return true;
    const parent = this.#top();
    const { path, match, selected } = this.#decide(parent, name, fileTypes.directory);
    this.#levels.push({ path, selected });
    return parent.selected && match !== 'exclude';
  }

  leave(): void {
    if (this.#patterns !== undefined) this.#levels.pop();
  }

  /** Whether the file at `path` (relative to the root) was, or will be, selected. */
  selectsPath(path: Buffer): boolean {
    if (this.#patterns === undefined) return true;
    let [level] = this.#levels;
    for (let from = 0; level !== undefined; ) {
      const to = path.indexOf(0x2f, from);
      const name = path.subarray(from, to === -1 ? path.length : to);
      level = this.#decide(level, name, to === -1 ? fileTypes.regular : fileTypes.directory);
      if (to === -1) return level.selected;
      from = to + 1;
    }
    return false;
  }

  #top(): Level {
    const top = this.#levels.at(-1);
    if (top === undefined) throw new Error('more directories were left than entered');
    return top;
  }

  #decide(level: Level, name: Buffer, mode: number): Level & { match: 'include' | 'exclude' | undefined } {
    if (this.#patterns === undefined) return { path: level.path, match: undefined, selected: true };
    const path = Buffer.concat([level.path, slash, name]);
    const match = this.#patterns.matches(path, mode);
    return { path, match, selected: match === undefined ? level.selected : match === 'include' };
  }
}
