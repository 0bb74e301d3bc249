/** What a backup tells, kept for the log that goes into the snapshot. */
import { chunkBytesMax } from '../format/blob.js';
import type { ArchiveResult, BackupObserver } from './backup-request.js';

export class BackupLog implements BackupObserver {
  readonly archives: ArchiveResult[] = [];
  warnings = 0;
  readonly #observer: BackupObserver;
  readonly #lines: string[] = [];

  constructor(observer: BackupObserver) {
    this.#observer = observer;
  }

  log(line: string): void {
    this.#keep(line);
    this.#observer.log(line);
  }

  warn(line: string): void {
    this.warnings++;
    this.#keep(`warning: ${line}`);
    this.#observer.warn(line);
  }

  progress(...args: Parameters<BackupObserver['progress']>): void {
    this.#observer.progress(...args);
  }

  finishedArchive(result: ArchiveResult): void {
    this.archives.push(result);
    this.#keep(`${result.name}: ${result.bytes} bytes, ${result.bytesReused} reused`);
    this.#observer.finishedArchive(result);
  }

  /** At most what a blob may have. */
  text(): Buffer {
    return Buffer.from(this.#lines.map((line) => `${line}\n`).join('')).subarray(0, chunkBytesMax);
  }

  #keep(line: string): void {
    this.#lines.push(`${new Date().toISOString()} ${line}`);
  }
}
