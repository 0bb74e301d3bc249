/** What the names in a snapshot's directory stand for, in the order of the manifest: a split archive is one thing. */
import { archiveKind, clientLogFileName, logicalName } from '../format/archive-name.js';
import type { Manifest, ManifestFile } from '../format/manifest.js';

export interface SnapshotContent {
  /** As the mount shows it: `root.pxar`, `drive-scsi0.img`, `notes.conf`. */
  readonly name: string;
  /** `stream`: its bytes, which are no image (a catalog; a payload without metadata). */
  readonly kind: 'archive' | 'image' | 'stream' | 'blob';
  /** One, or metadata and payload of a split archive, in this order. */
  readonly files: readonly [ManifestFile, ...ManifestFile[]];
}

export function snapshotContents(manifest: Manifest): SnapshotContent[] {
  const files = new Map(manifest.files.map((file) => [file.filename, file]));
  return manifest.files.flatMap((file): SnapshotContent[] => {
    const name = logicalName(file.filename);
    if (archiveKind(file.filename) === 'blob') return [{ name, kind: 'blob', files: [file] }];
    const metadataName = file.filename.replace(/\.ppxar\.didx$/, '.mpxar.didx');
    if (metadataName !== file.filename && files.has(metadataName)) return [];
    const payload = files.get(file.filename.replace(/\.mpxar\.didx$/, '.ppxar.didx'));
    if (/\.m?pxar\.didx$/.test(file.filename)) {
      return [{ name: name.replace(/\.mpxar$/, '.pxar'), kind: 'archive', files: payload === undefined || payload === file ? [file] : [file, payload] }];
    }
    return [{ name, kind: name.endsWith('.img') ? 'image' : 'stream', files: [file] }];
  });
}

export const clientLogName = logicalName(clientLogFileName);
