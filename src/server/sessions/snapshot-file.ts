/** A file of a snapshot as it is stored, on its way to a client. Format: protocol, sections 10.2 and 11. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import { FormatError, StoreError, codeOf } from '../../errors.js';
import { archiveKind } from '../../format/archive-name.js';
import { indexBytesMax, type ChunkIndex } from '../../format/chunk-index.js';
import { parseDynamicIndex } from '../../format/dynamic-index.js';
import { parseFixedIndex } from '../../format/fixed-index.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { translated } from '../../store/local/directory.js';
import { Refusal } from '../refusal.js';
import type { ServedStore } from '../server-context.js';
import { Turns } from '../turns.js';
import { filePieceBytes } from './session-settings.js';

/** Entries that are looked at in one turn of the event loop. */
const entriesPerTurn = 8192;
const indexesWaitingMax = 1024;
/** Whole indexes are in memory one at a time. */
const indexTurns = new Turns(1, indexesWaitingMax);

/** Digest of a chunk, and bytes of its content. */
export type UseEntry = (digest: Buffer, length: number) => void;

export interface OpenedFile {
  readonly handle: FileHandle;
  readonly bytes: number;
}

/** NOT_FOUND, also for what is no file; LIMIT_EXCEEDED. */
export async function openStoredFile(path: string, bytesMax: number): Promise<OpenedFile> {
  const handle = await translated(path, () => open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
  try {
    const facts = await handle.stat();
    if (!facts.isFile()) throw new StoreError('NOT_FOUND', `${path} is not a file`);
    if (facts.size > bytesMax) throw new FormatError('LIMIT_EXCEEDED', `${path} has ${facts.size} bytes, more than the ${bytesMax} that it may have`);
    return { handle, bytes: facts.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Takes the file over. */
export function streamOf({ handle }: OpenedFile): Readable {
  return handle.createReadStream({ start: 0, highWaterMark: filePieceBytes });
}

/** What `use` throws ends it. */
export async function eachEntry(index: ChunkIndex, use: UseEntry): Promise<void> {
  for (let i = 0; i < index.count; i++) {
    use(index.digestAt(i), index.endOf(i) - index.startOf(i));
    if (i % entriesPerTurn === entriesPerTurn - 1) await setImmediate();
  }
}

/** The stored file as an answer; `use` has seen all entries of an index before its first byte leaves. A blob that is missing is the only 404. */
export async function fileOf({ path }: ServedStore, snapshot: SnapshotName, fileName: string, use: UseEntry): Promise<{ stream: Readable }> {
  try {
    return await storedFile(join(path, snapshotPath(snapshot), fileName), fileName, use);
  } catch (cause) {
    if (codeOf(cause) !== 'NOT_FOUND') throw cause;
    throw new Refusal(archiveKind(fileName) === 'blob' ? 404 : 400, `the snapshot has no file ${fileName}`, { cause });
  }
}

async function storedFile(path: string, fileName: string, use: UseEntry): Promise<{ stream: Readable }> {
  const file = await openStoredFile(path, indexBytesMax);
  try {
    await eachEntryOf(file, fileName, use);
    return { stream: streamOf(file) };
  } catch (error) {
    await file.handle.close();
    throw error;
  }
}

async function eachEntryOf({ handle }: OpenedFile, fileName: string, use: UseEntry): Promise<void> {
  const kind = archiveKind(fileName);
  if (kind !== 'fixed' && kind !== 'dynamic') return;
  await indexTurns.run(async () => {
    const bytes = await handle.readFile();
    await eachEntry(kind === 'fixed' ? parseFixedIndex(bytes) : parseDynamicIndex(bytes), use);
  });
}
