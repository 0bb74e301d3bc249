/** Text files of the datastore: UTF-8 that is checked, not repaired. */
import { FormatError } from '../errors.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Throws LIMIT_EXCEEDED or BAD_STRUCTURE; `what` begins the message. */
export function decodeText(bytes: Uint8Array, what: string, bytesMax: number): string {
  if (bytes.length > bytesMax) {
    throw new FormatError('LIMIT_EXCEEDED', `${what} is larger than the ${bytesMax} bytes that are read`);
  }
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new FormatError('BAD_STRUCTURE', `${what} is not UTF-8 text`, { cause });
  }
}
