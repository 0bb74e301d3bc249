/**
 * The archives that files of one staging directory are clones of: a table in the spool. Their snapshots are kept from being removed as long
 * as something is staged there; what is removed while no daemon runs is lost to the clones.
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { PxarContentRange, PxarNode } from '../../archive/pxar-tree.js';
import { contentKey, readSnapshotState } from '../../archive/snapshot-state.js';
import { FileError, StoreError, codeOf, messageOf } from '../../errors.js';
import { logicalName } from '../../format/archive-name.js';
import { parseJson } from '../../format/json.js';
import { parseSnapshotPath, snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import type { HeldSnapshot } from '../../store/datastore.js';
import type { MaybePromise } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import { archiveRoot, type ArchiveRoot, type ArchiveSource } from '../archive-root.js';
import type { TreeContext } from '../context.js';
import type { PxarArchive } from '../pxar-archive.js';
import type { CloneFact } from './clone-fact.js';

const originsMax = 4096;
const tableBytesMax = 4 << 20;
const idLength = 16;

/** An archive of a snapshot, by the checksums of its indexes. */
export interface CloneOrigin {
  /** Path of the snapshot. */
  readonly snapshot: string;
  /** The archive, or metadata and payload of a split one. */
  readonly files: readonly { readonly filename: string; readonly csum: string }[];
}

const tableSchema = z.array(z.strictObject({
  snapshot: z.string(),
  files: z.array(z.strictObject({ filename: z.string(), csum: z.string().regex(/^[0-9a-f]{64}$/) })).min(1).max(2),
})).max(originsMax);

export class CloneOrigins {
  readonly #context: TreeContext;
  readonly #path: string;
  readonly #log: (line: string) => void;
  readonly #origins = new Map<string, CloneOrigin>();
  readonly #roots = new Map<string, MaybePromise<ArchiveRoot>>();
  readonly #adopting = new Map<string, Promise<string>>();
  readonly #held = new Map<string, HeldSnapshot>();
  /** By ArchiveSource.key. */
  readonly #ids = new Map<string, string>();
  #any = false;
  #released = false;

  /** `path`: of the table, which need not be there. */
  constructor(context: TreeContext, path: string, log: (line: string) => void) {
    this.#context = context;
    this.#path = path;
    this.#log = log;
    this.#load();
  }

  /** Whether anything may be a clone. */
  get any(): boolean {
    return this.#any;
  }

  /** Of what was staged before this daemon began. What can't be held is told, and may be read as long as it is there. */
  async hold(): Promise<void> {
    for (const { snapshot } of this.#origins.values()) {
      try {
        await this.#hold(snapshot);
      } catch (error) {
        this.#log(`${snapshot}, of which files are clones, can't be kept from being removed: ${messageOf(error)}`);
      }
    }
  }

  release(): void {
    this.#released = true;
    for (const held of this.#held.values()) held.release();
    this.#held.clear();
  }

  /** The name of an archive; it is in the table from then on. LOCKED and NO_PERMISSION if its snapshot can't be held. */
  adopt(source: ArchiveSource): MaybePromise<string> {
    const known = this.#ids.get(source.key) ?? this.#adopting.get(source.key);
    if (known !== undefined) return known;
    const adopting = this.#adopt(source).finally(() => this.#adopting.delete(source.key));
    this.#adopting.set(source.key, adopting);
    return adopting;
  }

  /** Index checksum, in hex, of the payload of a split archive. */
  payloadCsum(origin: string): string | undefined {
    return this.#origins.get(origin)?.files[1]?.csum;
  }

  node(fact: CloneFact): MaybePromise<PxarNode> {
    return this.#archive(fact, ({ tree }) => tree.node(fact.node));
  }

  /** CHUNK_MISSING if the snapshot is gone; damage of the archive. */
  contentOf(fact: CloneFact): MaybePromise<PxarContentRange> {
    return this.#archive(fact, ({ tree }) => andThen(tree.node(fact.node), (node) => tree.content(node)));
  }

  #archive<T>({ origin }: CloneFact, use: (archive: PxarArchive) => MaybePromise<T>): MaybePromise<T> {
    return andThen(this.#root(origin), (root) => root.use(use));
  }

  #root(id: string): MaybePromise<ArchiveRoot> {
    const known = this.#roots.get(id);
    if (known !== undefined) return known;
    const origin = this.#origins.get(id);
    if (origin === undefined) {
      throw new StoreError('CHUNK_MISSING', `${this.#path}: the archive that this is a clone of is not in this table any more`);
    }
    const opening = this.#open(origin).then(
      (root) => {
        this.#roots.set(id, root);
        return root;
      },
      (error: unknown) => {
        this.#roots.delete(id);
        throw error;
      },
    );
    this.#roots.set(id, opening);
    return opening;
  }

  async #open({ snapshot, files: wanted }: CloneOrigin): Promise<ArchiveRoot> {
    const name = required(snapshot);
    try {
      const state = await readSnapshotState(this.#context, name);
      const listed = state.manifest?.files ?? [];
      const files = wanted.flatMap(({ filename, csum }) => listed.filter((file) => file.filename === filename && file.csum === csum));
      const [first] = files;
      if (first === undefined || files.length < wanted.length) throw new StoreError('NOT_FOUND', 'the snapshot is another one now');
      const key = contentKey(state, logicalName(first.filename), files.map(({ csum }) => csum).join());
      return archiveRoot(this.#context, { key, state, files, time: { sec: name.time, nsec: 0 } });
    } catch (cause) {
      if (codeOf(cause) !== 'NOT_FOUND') throw cause;
      const place = `${snapshot}/${wanted[0]?.filename ?? ''}`;
      throw new StoreError('CHUNK_MISSING', `${place}, which this is a clone of, is gone: copy the file again, or remove it`, { cause });
    }
  }

  async #adopt({ key, state, files }: ArchiveSource): Promise<string> {
    const origin: CloneOrigin = { snapshot: snapshotPath(state.snapshot), files: files.map(({ filename, csum }) => ({ filename, csum })) };
    const id = idOf(origin);
    if (this.#origins.size >= originsMax) throw new FileError('NOT_SUPPORTED', `clones are of at most ${originsMax} archives`);
    await this.#hold(origin.snapshot);
    if (!this.#origins.has(id)) this.#write([...this.#origins.values(), origin]);
    this.#origins.set(id, origin);
    this.#ids.set(key, id);
    this.#any = true;
    return id;
  }

  async #hold(snapshot: string): Promise<void> {
    if (this.#held.has(snapshot)) return;
    const held = await this.#context.store.holdSnapshot(required(snapshot), this.#log);
    if (this.#released || this.#held.has(snapshot)) held.release();
    else this.#held.set(snapshot, held);
  }

  /** It survives a power cut before anything refers to it. */
  #write(origins: readonly CloneOrigin[]): void {
    const temporary = `${this.#path}.tmp`;
    const fd = openSync(temporary, 'w', 0o600);
    try {
      writeFileSync(fd, JSON.stringify(origins));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, this.#path);
    const directory = openSync(dirname(this.#path), 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  }

  #load(): void {
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.#path);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      throw error;
    }
    this.#any = true;
    try {
      for (const origin of tableSchema.parse(parseJson(bytes, this.#path, tableBytesMax))) this.#origins.set(idOf(origin), origin);
    } catch (error) {
      this.#log(`${this.#path} is damaged: files that are clones can't be read: ${messageOf(error)}`);
    }
  }
}

/** Tells from the content what is meant, so that no other archive can ever be taken for it. */
function idOf({ snapshot, files }: CloneOrigin): string {
  const parts = [snapshot, ...files.flatMap(({ filename, csum }) => [filename, csum])];
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, idLength);
}

function required(snapshot: string): SnapshotName {
  const name = parseSnapshotPath(snapshot);
  if (name === undefined) throw new StoreError('CHUNK_MISSING', `'${snapshot}' is no snapshot`);
  return name;
}
