/** A directory of a snapshot: one stream, or metadata and payload apart, on top of what the previous snapshot has. */
import type { ArchiveSpec } from './archive-spec.js';
import type { ReferenceTree, SourceFileEntry } from './archive-options.js';
import type { ArchiveMode, ArchiveResult } from './backup-request.js';
import type { BackupContext } from './snapshot-writer.js';
import { splitNames, type ReferenceArchive } from './previous-snapshot.js';
import { StreamWriter, type WrittenStream } from './stream-writer.js';
import { archiveTree } from './tree-archiver.js';

type Result = Pick<ArchiveResult, 'bytes' | 'bytesReused' | 'bytesStored' | 'files'>;

export async function backUpArchive(context: BackupContext, spec: ArchiveSpec): Promise<Result> {
  const mode = modeFor(context, spec.name);
  if (mode === 'legacy') return await backUpWhole(context, spec);
  const reference = mode === 'metadata' ? await referenceOf(context, spec.name) : undefined;
  try {
    return await backUpSplit(context, spec, reference);
  } finally {
    reference?.close();
  }
}

function modeFor({ request, previous }: BackupContext, name: string): ArchiveMode {
  return request.mode ?? (previous?.hasSplit(name) === true ? 'metadata' : 'data');
}

async function backUpWhole(context: BackupContext, { name, source }: ArchiveSpec): Promise<Result> {
  const { manifest, catalog } = context;
  const filename = `${name}.didx`;
  const meta = streamWriter(context, filename);
  try {
    const { files } = await archiveTree({ ...treeOptions(context, name), source, format: 'legacy', meta, catalog: catalog.open(), archiveName: filename });
    const written = await meta.finish();
    manifest.addIndex(written);
    return { ...sumOf([written]), files };
  } catch (error) {
    await Promise.all([meta.abort(), catalog.abort()]);
    throw error;
  }
}

async function backUpSplit(context: BackupContext, { name, source }: ArchiveSpec, found: ReferenceArchive | undefined): Promise<Result> {
  const { manifest, session, request } = context;
  const [metadataName, payloadName] = splitNames(name);
  const meta = streamWriter(context, metadataName);
  const target = session.openIndex(payloadName);
  const payload = new StreamWriter({ target, filename: payloadName, averageBytes: request.chunkAverageBytes, cuts: 'payload' });
  const reference: ReferenceTree | undefined = found && { ...found, reuse: (chunks) => target.reuseChunks(chunks) };
  try {
    const options = { ...treeOptions(context, name), source, format: 'split', meta, payload, reference, archiveName: metadataName } as const;
    const { files } = await archiveTree(options);
    const written = [await payload.finish(), await meta.finish()];
    for (const each of written) manifest.addIndex(each);
    return { ...sumOf(written), files };
  } catch (error) {
    await Promise.all([meta.abort(), payload.abort()]);
    throw error;
  }
}

async function referenceOf({ previous, observer }: BackupContext, name: string): Promise<ReferenceArchive | undefined> {
  const reference = previous === undefined ? 'there is no previous snapshot that could be used' : await previous.reference(name);
  if (typeof reference !== 'string') return reference;
  observer.log(`${name}: everything is read: ${reference}`);
  return undefined;
}

function streamWriter({ session, request }: BackupContext, filename: string): StreamWriter {
  return new StreamWriter({ target: session.openIndex(filename), filename, averageBytes: request.chunkAverageBytes, cuts: 'hash' });
}

function treeOptions({ request, observer }: BackupContext, name: string) {
  const { walk, clonedContent } = request;
  return {
    ...walk,
    contentOf: clonedContent && ((file: SourceFileEntry) => clonedContent(name, file)),
    warn: (line: string) => observer.warn(`${name}: ${line}`),
    progress: (bytes: number, bytesReused: number) => observer.progress(name, { bytes, bytesReused, bytesTotal: undefined }),
    signal: request.signal,
  };
}

function sumOf(streams: readonly WrittenStream[]): Omit<Result, 'files'> {
  const sum = (value: (figures: WrittenStream['figures']) => number): number => streams.reduce((total, { figures }) => total + value(figures), 0);
  return {
    bytes: sum(({ bytes }) => bytes),
    bytesReused: sum(({ bytes, bytesAdded }) => bytes - bytesAdded),
    bytesStored: sum(({ encodedBytesAdded }) => encodedBytesAdded),
  };
}
