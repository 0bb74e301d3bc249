/** What was archived so far, and who is told. */
import type { MaybePromise } from '../vfs/file-system.js';
import type { ArchiveSummary, ArchiveTreeOptions } from './archive-options.js';
import { Pace } from './pace.js';

export class ArchiveTally {
  files = 0;
  directories = 0;
  others = 0;
  bytesRead = 0;
  filesReused = 0;
  bytesReused = 0;
  filesReencoded = 0;
  warnings = 0;
  readonly #options: Pick<ArchiveTreeOptions, 'warn' | 'progress' | 'signal'>;
  readonly #pace: Pace;

  constructor(options: Pick<ArchiveTreeOptions, 'warn' | 'progress' | 'signal'>) {
    this.#options = options;
    this.#pace = new Pace(options.signal, () => this.tellProgress());
  }

  readonly warn = (line: string): void => {
    this.warnings += 1;
    this.#options.warn(line);
  };

  /** A block of content. */
  read(bytes: number): MaybePromise<void> {
    this.bytesRead += bytes;
    return this.#pace.turn();
  }

  turn(): MaybePromise<void> {
    return this.#pace.turn();
  }

  tellProgress(): void {
    this.#options.progress(this.bytesRead + this.bytesReused, this.bytesReused);
  }

  summary(): ArchiveSummary {
    const { files, directories, others, bytesRead, filesReused, bytesReused, filesReencoded, warnings } = this;
    return { files, directories, others, bytesRead, filesReused, bytesReused, filesReencoded, warnings };
  }
}
