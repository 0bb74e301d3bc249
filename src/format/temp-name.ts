/** Format: datastore, section 1.6. Names under which files are written before they are renamed into place. */
import { randomInt } from 'node:crypto';

const randomCharacters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const hiddenPrefix = '.pbsfs-';

/** Of an index while it grows: `a.img.tmp_fidx`. The name is the same for all writers. */
export function indexTempName(fileName: string): string {
  const dot = extensionOffset(fileName);
  return `${fileName.slice(0, dot)}.tmp_${fileName.slice(dot + 1)}`;
}

/** Of any other file: `index.json.tmp_k3Xv09`, to be opened with O_EXCL. */
export function replacementTempName(fileName: string): string {
  return `${fileName.slice(0, extensionOffset(fileName))}.tmp_${randomText()}`;
}

function randomText(): string {
  return Array.from({ length: 6 }, () => randomCharacters[randomInt(randomCharacters.length)]).join('');
}

/** From the last dot on; a leading dot begins no extension. */
function extensionOffset(fileName: string): number {
  const dot = fileName.lastIndexOf('.');
  return dot > 0 ? dot : fileName.length;
}

/** Of a directory that nobody lists, in which something is made before it gets its name: `.pbsfs-k3Xv09`. */
export function hiddenName(): string {
  return `${hiddenPrefix}${randomText()}`;
}

export function isHiddenName(name: string): boolean {
  return name.startsWith(hiddenPrefix) && /^[A-Za-z0-9]{6}$/.test(name.slice(hiddenPrefix.length));
}
