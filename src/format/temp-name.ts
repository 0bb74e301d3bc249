/** Format: datastore, section 1.6. Names under which files are written before they are renamed into place. */
import { randomInt } from 'node:crypto';

const randomCharacters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Of an index while it grows: `a.img.tmp_fidx`. The name is the same for all writers. */
export function indexTempName(fileName: string): string {
  const dot = extensionOffset(fileName);
  return `${fileName.slice(0, dot)}.tmp_${fileName.slice(dot + 1)}`;
}

/** Of any other file: `index.json.tmp_k3Xv09`, to be opened with O_EXCL. */
export function replacementTempName(fileName: string): string {
  const random = Array.from({ length: 6 }, () => randomCharacters[randomInt(randomCharacters.length)]).join('');
  return `${fileName.slice(0, extensionOffset(fileName))}.tmp_${random}`;
}

/** From the last dot on; a leading dot begins no extension. */
function extensionOffset(fileName: string): number {
  const dot = fileName.lastIndexOf('.');
  return dot > 0 ? dot : fileName.length;
}
