/**
 * Snapshots on the server whose chunks stand in staged images. Each is held, so that it is not removed meanwhile and its chunks are found by their
 * digests alone; which they are is kept in a file, for the next daemon.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { codeOf, messageOf } from '../../errors.js';
import { parseSnapshotPath, snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import type { HeldSnapshot } from '../datastore.js';

export interface SnapshotHolder {
  /** A snapshot that has the chunk; undefined if none is known. */
  snapshotWith(digest: Buffer): Promise<SnapshotName | undefined>;
  hold(snapshot: SnapshotName): Promise<HeldSnapshot>;
}

const fileBytesMax = 1 << 20;

export class CloneSources {
  readonly #path: string;
  readonly #holder: SnapshotHolder;
  readonly #held = new Map<string, Promise<HeldSnapshot>>();
  #isReleased = false;

  constructor(path: string, holder: SnapshotHolder) {
    this.#path = path;
    this.#holder = holder;
  }

  /** Those of the daemon before. What can't be held is told: its chunks may be lost. */
  async holdAgain(warn: (line: string) => void): Promise<void> {
    for (const path of this.#recorded()) {
      const snapshot = parseSnapshotPath(path);
      if (snapshot === undefined) continue;
      await this.#hold(snapshot).catch((error: unknown) => {
        warn(`${path}, which staged images have chunks of, can't be kept: ${messageOf(error)}`);
      });
    }
  }

  /** False if nothing keeps the chunk: who needs it has to read it now. */
  async keep(digest: Buffer): Promise<boolean> {
    const snapshot = await this.#holder.snapshotWith(digest);
    if (snapshot === undefined) return false;
    if (this.#held.has(snapshotPath(snapshot))) return true;
    try {
      await this.#hold(snapshot);
    } catch {
      return false;
    }
    const paths = [...new Set([...this.#recorded(), ...this.#held.keys()])];
    writeFileSync(`${this.#path}.tmp`, JSON.stringify(paths), { mode: 0o600 });
    renameSync(`${this.#path}.tmp`, this.#path);
    return true;
  }

  release(): void {
    this.#isReleased = true;
    for (const holding of this.#held.values()) {
      holding.then(
        (held) => {
          held.release();
        },
        () => undefined,
      );
    }
    this.#held.clear();
  }

  async #hold(snapshot: SnapshotName): Promise<void> {
    const path = snapshotPath(snapshot);
    const holding = this.#held.get(path) ?? this.#holder.hold(snapshot);
    this.#held.set(path, holding);
    try {
      const held = await holding;
      if (this.#isReleased) held.release();
    } catch (error) {
      this.#held.delete(path);
      throw error;
    }
  }

  #recorded(): string[] {
    try {
      const bytes = readFileSync(this.#path);
      const paths: unknown = bytes.length > fileBytesMax ? [] : JSON.parse(bytes.toString());
      return Array.isArray(paths) ? paths.filter((path) => typeof path === 'string') : [];
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || error instanceof SyntaxError) return [];
      throw error;
    }
  }
}
