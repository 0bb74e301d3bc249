/** What was found damaged: each chunk is told once, with the archives and byte ranges that it affects. */
import { codeOf, messageOf } from '../errors.js';

export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

export interface AffectedArchive {
  /** Path in the tree. */
  readonly path: string;
  /** Ranges of the image or archive stream. */
  readonly ranges: readonly ByteSpan[];
}

export interface DamagedChunk {
  readonly digest: string;
  readonly reason: string;
  /** When it was found, ISO 8601. */
  readonly found: string;
  readonly affects: readonly AffectedArchive[];
}

/** An open stream that can tell where it uses a chunk. */
export interface ChunkUser {
  readonly path: string;
  rangesOf(digest: Buffer): readonly ByteSpan[];
}

const chunksMax = 100_000;

const passingCodes: ReadonlySet<string | undefined> = new Set(['UNREACHABLE', 'LOGIN_FAILED', 'UNTRUSTED', 'NO_PERMISSION', 'REFUSED', 'LOCKED', 'INTERRUPTED', 'CLOSED']);

/** Whether a chunk could not be had for a reason that says nothing of the chunk: it is not lost, and zeros are no answer. */
export function isPassing(error: unknown): boolean {
  return passingCodes.has(codeOf(error));
}

export class DamageLog {
  readonly #log: (line: string) => void;
  readonly #chunks = new Map<string, DamagedChunk>();
  readonly #users = new Set<ChunkUser>();
  readonly #refusals = new Set<string>();

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  get chunks(): Iterable<DamagedChunk> {
    return this.#chunks.values();
  }

  get count(): number {
    return this.#chunks.size;
  }

  register(user: ChunkUser): void {
    this.#users.add(user);
  }

  unregister(user: ChunkUser): void {
    this.#users.delete(user);
  }

  /** A chunk that `user` needs can't be had. */
  reportChunk(digest: Buffer, error: unknown, user: ChunkUser): void {
    const name = digest.toString('hex');
    const known = this.#chunks.get(name);
    if (known?.affects.some(({ path }) => path === user.path) === true || this.#chunks.size >= chunksMax) return;
    const users = known === undefined ? new Set([user, ...this.#users]) : [user];
    const found = [...users].map((each) => ({ path: each.path, ranges: each.rangesOf(digest) })).filter(({ ranges }) => ranges.length > 0);
    const affects = [...(known?.affects ?? []), ...found];
    const reason = known?.reason ?? messageOf(error);
    this.#chunks.set(name, { digest: name, reason, found: known?.found ?? new Date().toISOString(), affects });
    if (known === undefined) this.#log(`${reason}; it affects ${affects.map(describe).join(', ')}`);
  }

  /** Something that is refused as a whole; said once. */
  reportOnce(line: string): void {
    if (this.#refusals.has(line) || this.#refusals.size >= chunksMax) return;
    this.#refusals.add(line);
    this.#log(line);
  }
}

const rangesShownMax = 8;

function describe({ path, ranges }: AffectedArchive): string {
  const shown = ranges.slice(0, rangesShownMax).map(({ start, end }) => `${start}-${end - 1}`);
  const more = ranges.length > rangesShownMax ? ` and ${ranges.length - rangesShownMax} more ranges` : '';
  return `${path} (bytes ${shown.join(', ')}${more})`;
}
