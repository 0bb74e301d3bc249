/** Names of the files of a snapshot that is being written: each once. */
import { FileError, StoreError } from '../errors.js';
import { archiveKind, manifestFileName, type ArchiveKind } from '../format/archive-name.js';

export class SnapshotFileNames {
  readonly #names = new Set<string>();

  /** INVALID_ARGUMENT for a name of another kind; EXISTS for one that was claimed before. */
  claim(fileName: string, kinds: readonly ArchiveKind[]): ArchiveKind {
    const kind = archiveKind(fileName);
    if (kind === undefined || !kinds.includes(kind) || fileName === manifestFileName) {
      throw new FileError('INVALID_ARGUMENT', `'${fileName}' cannot be the name of such a file in a snapshot`);
    }
    if (this.#names.has(fileName)) throw new StoreError('EXISTS', `the snapshot has a file ${fileName} already: two archives have one name`);
    this.#names.add(fileName);
    return kind;
  }

  has(fileName: string): boolean {
    return this.#names.has(fileName);
  }

  add(fileName: string): void {
    this.#names.add(fileName);
  }
}
