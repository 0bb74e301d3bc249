/** Archives a directory with everything below it. Format: pxar, sections 3 and 7 */
import { UsageError } from '../errors.js';
import { fileTypes, type PxarMetadata } from '../format/pxar/entry.js';
import { itemHeaderBytes } from '../format/pxar/item.js';
import { ArchiveOutput } from './archive-output.js';
import type { ArchiveSummary, ArchiveTreeOptions } from './archive-options.js';
import { ArchiveTally } from './archive-tally.js';
import { ExcludeStack, preludeOf } from './exclude-stack.js';
import { PayloadReuse } from './payload-reuse.js';
import { patternFileName, TreeWalker } from './tree-walker.js';

/**
 * Writes the archive into its streams, which it neither finishes nor aborts. Rejects with the system's error, its message with the path,
 * for what cannot be read; INTERRUPTED; NOT_A_DIRECTORY or INVALID_ARGUMENT for a source that can't be archived; LIMIT_EXCEEDED; USAGE for patterns.
 */
export async function archiveTree(options: ArchiveTreeOptions): Promise<ArchiveSummary> {
  const split = options.format === 'split';
  if (options.allFileSystems && options.includeDevices.length > 0) throw new UsageError('--all-file-systems and --include-dev exclude each other');
  if (split && options.payload === undefined) throw new Error('a split archive needs a payload stream');
  const tally = new ArchiveTally(options);
  const excludes = new ExcludeStack(options, tally.warn);
  const prelude = split ? preludeOf(excludes.recorded) : undefined;
  const walker = new TreeWalker(options, excludes, tally);
  try {
    if (split) await options.payload?.room(itemHeaderBytes);
    options.catalog?.writer.openDirectory(Buffer.from(options.archiveName));
    const streams = { meta: options.meta, payload: split ? options.payload : undefined, catalog: options.catalog, prelude };
    const output = new ArchiveOutput(streams, walker.rootMetadata, tally);
    const { reference } = options;
    if (split && reference !== undefined) {
      const reuse = new PayloadReuse(output, reference, { visitAgain: walker.visitAgain, tally, clonesOnly: options.isSpool === true });
      await walker.walk(reuse);
      await reuse.finish();
    } else {
      await walker.walk(output);
    }
    if (!split && excludes.recorded.length > 0) await output.patternFile(patternFileName, patternFileMetadata(), excludes.recorded);
    options.catalog?.writer.closeDirectory();
    await output.finish();
    tally.tellProgress();
    return tally.summary();
  } finally {
    walker.close();
  }
}

function patternFileMetadata(): PxarMetadata {
  return {
    mode: fileTypes.regular | 0o600,
    flags: { hi: 0, lo: 0 },
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    mtime: { sec: 0, nsec: 0 },
    xattrs: [],
    acl: undefined,
    fcaps: undefined,
    projectId: undefined,
  };
}
