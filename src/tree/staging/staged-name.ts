/** What becomes of what is at the top of a staging directory, by its name. Format: datastore, sections 1.2 and 1.5. */
import { isSafeId } from '../../format/safe-id.js';

/** A directory, a file that is an image, any other file. */
export type StagedKind = 'archive' | 'image' | 'blob';

const nameLengthMax = 200;
/** Files that a snapshot has of its own, and the parts of split archives. */
const reserved = /^(?:index\.json|client\.log|catalog\.pcat1|rsa-encrypted\.key)$|\.[mp]pxar$/;
const archive = /^[a-zA-Z0-9_-]+\.pxar$/;
const image = /^[a-zA-Z0-9_-]+\.img$/;

/** Undefined if nothing in a snapshot can have this name. */
export function stagedKind(name: Buffer): StagedKind | undefined {
  const text = name.toString('latin1');
  if (!isSafeId(text) || text.length > nameLengthMax || reserved.test(text)) return undefined;
  if (text.endsWith('.pxar')) return archive.test(text) ? 'archive' : undefined;
  if (text.endsWith('.img')) return image.test(text) ? 'image' : undefined;
  return 'blob';
}
