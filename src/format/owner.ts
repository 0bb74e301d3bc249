/** Format: datastore, sections 1.2 and 1.4. `owner` of a group: one line with the user or API token it belongs to. */
import { FormatError } from '../errors.js';
import { parseAuthId } from './auth-id.js';
import { decodeText } from './text.js';

const ownerBytesMax = 4096;

/** `user@realm` or `user@realm!token`, of any length: what others have written is read. */
const ownerPattern = /^[^\s:/\p{Cc}]+@[A-Za-z0-9_][A-Za-z0-9._-]*(?:![A-Za-z0-9_][A-Za-z0-9._-]*)?$/u;

/** The first line without trailing white space. Throws BAD_STRUCTURE if it does not name a user, or LIMIT_EXCEEDED. */
export function parseOwner(bytes: Uint8Array): string {
  const [line = ''] = decodeText(bytes, 'the owner file', ownerBytesMax).split('\n', 1);
  const owner = line.trimEnd();
  if (!ownerPattern.test(owner)) {
    throw new FormatError('BAD_STRUCTURE', `${JSON.stringify(owner)} is not an owner like 'backup@pbs' or 'backup@pbs!token'`);
  }
  return owner;
}

/** Throws BAD_NAME for what a server would not take. */
export function encodeOwner(owner: string): Buffer {
  parseAuthId(owner);
  return Buffer.from(`${owner}\n`);
}
