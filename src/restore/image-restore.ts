/** An image, or any other stream that is no archive, to a file, a block device or a pipe. Chunks are decoded ahead on all cores. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ArchiveContext } from '../archive/archive-context.js';
import type { OpenStream } from '../archive/stream-opener.js';
import type { SnapshotContent } from '../archive/snapshot-contents.js';
import type { SnapshotState } from '../archive/snapshot-state.js';
import { openStream } from '../archive/stream-opener.js';
import type { ByteTarget } from './byte-target.js';
import { ChunkPrefetch } from './chunk-prefetch.js';
import { dataFrom } from './file-content.js';
import { throwIfInterrupted, type RestoreObserver } from './restore-options.js';

export interface ImageRestoreRequest {
  readonly context: ArchiveContext;
  readonly state: SnapshotState;
  /** Of kind `image` or `stream`. */
  readonly content: SnapshotContent;
  /** Opened when the index is known and fits the manifest. */
  readonly openTarget: (size: number) => ByteTarget;
  readonly observer: Pick<RestoreObserver, 'progress'>;
  readonly signal?: AbortSignal;
}

/** Gives the size. INTERRUPTED, errors of the target, and those of chunks that can't be had; a new file is removed then. */
export async function restoreImage({ context, state, content, openTarget, observer, signal }: ImageRestoreRequest): Promise<number> {
  const [file] = content.files;
  const opened = await openStream(context, state, file);
  try {
    const target = openTarget(opened.stream.size);
    try {
      await copy(opened, target, () => context.cache.soleReadAheadBytesMax, observer, signal);
      target.finish(opened.stream.size);
      return opened.stream.size;
    } catch (error) {
      target.abandon();
      throw error;
    }
  } finally {
    opened.stream.close();
  }
}

async function copy(
  { stream, index }: OpenStream,
  target: ByteTarget,
  aheadBytesMax: () => number,
  observer: Pick<RestoreObserver, 'progress'>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const prefetch = new ChunkPrefetch(stream, index, aheadBytesMax);
  const { size } = stream;
  for (let at = 0; at < size; ) {
    throwIfInterrupted(signal, () => `it ended after ${at} of ${size} bytes`);
    const data = dataFrom(stream, at, size);
    if (data > at) {
      const zeroed = target.zeros(at, data - at);
      if (zeroed instanceof Promise) await zeroed;
      at = data;
    }
    prefetch.advance(at);
    if (at >= size) break;
    const window = stream.window(at, 1);
    const bytes = window instanceof Promise ? await window : window;
    const written = target.write(bytes, at);
    at += bytes.length;
    observer.progress({ bytes: at, bytesTotal: size });
    if (written instanceof Promise) await written;
    // Decoded chunks, and Ctrl-C, come in between.
    await nextTurn();
  }
  observer.progress({ bytes: size, bytesTotal: size });
}
