/** A snapshot of what is staged in a group: the same backup as of any directory, with images and clones whose chunks are known. */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ArchiveSpec } from '../../backup/archive-spec.js';
import type { BackupRequest, BackupResult } from '../../backup/backup-request.js';
import { decodeBlob } from '../../codec/blob-decoder.js';
import { FileError } from '../../errors.js';
import { parseManifest, canonicalManifest } from '../../format/manifest.js';
import { groupPath, type GroupName } from '../../format/snapshot-name.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import type { CloneOrigins } from './clone-origins.js';
import type { StagedImage } from './image-file.js';
import type { GroupSpool } from './spool.js';
import { clonedContent } from './staged-content.js';
import type { StagedImages } from './staged-images.js';
import { stagedKind } from './staged-name.js';

const archiveChunkAverageBytes = 4 << 20;
const entriesMax = 1 << 20;

export interface StagedParts {
  readonly group: GroupName;
  readonly spool: GroupSpool;
  readonly images: StagedImages;
  readonly origins: CloneOrigins;
}

/** INVALID_ARGUMENT if nothing is staged. */
export async function backUpStaged(
  { group, spool, images, origins }: StagedParts,
  request: Pick<BackupRequest, 'store' | 'time' | 'mode' | 'encryption' | 'notes' | 'beforeFinish' | 'signal' | 'observer'>,
): Promise<BackupResult> {
  const specs = specsOf(spool);
  if (specs.length === 0) throw new FileError('INVALID_ARGUMENT', `nothing is staged in ${groupPath(group)}`);
  const prepared = await imagesOf(images, specs);
  const { runBackup } = await import('../../backup/backup.js');
  return await runBackup({
    ...request,
    group,
    specs,
    owner: undefined,
    walk: {
      excludes: [],
      skipLostAndFound: false,
      allFileSystems: true,
      includeDevices: [],
      skipUnreadable: false,
      skipE2bigXattr: false,
      entriesMax,
      isSpool: true,
    },
    chunkAverageBytes: archiveChunkAverageBytes,
    changed: new Map(),
    prepared,
    clonedContent: origins.any ? (archive, file) => clonedContent(origins, archive, file) : undefined,
  });
}

/** Of what a manifest says of its files: a server encodes it anew, with figures of its own. */
export async function contentDigest(encoded: Buffer): Promise<string> {
  const manifest = parseManifest(decodeBlob(encoded, await loadZstd(), undefined));
  return createHash('sha256').update(canonicalManifest(manifest)).digest('hex');
}

async function imagesOf(images: StagedImages, specs: readonly ArchiveSpec[]): Promise<Map<string, StagedImage>> {
  const names = specs.filter(({ kind }) => kind === 'image').map(({ name }) => name);
  return new Map(await Promise.all(names.map(async (name) => [name, await images.image(name)] as const)));
}

/** In the order of their names. */
function specsOf({ top }: GroupSpool): ArchiveSpec[] {
  return readdirSync(top)
    .sort()
    .flatMap((name): ArchiveSpec[] => {
      const kind = stagedKind(Buffer.from(name));
      return kind === undefined ? [] : [{ name, kind, source: join(top, name) }];
    });
}
