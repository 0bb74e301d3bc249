/** Format: datastore, section 1.4. `notes` of a group: free text, exactly as it is. Notes of a snapshot are in its manifest. */
import { decodeText } from './text.js';

export const notesBytesMax = 1024 * 1024;

/** Throws LIMIT_EXCEEDED, or BAD_STRUCTURE if it is not UTF-8. */
export function parseNotes(bytes: Uint8Array): string {
  return decodeText(bytes, 'the notes file', notesBytesMax);
}

export function encodeNotes(notes: string): Buffer {
  return Buffer.from(notes);
}

/** What listings show as the comment: the first line. */
export function commentOf(notes: string): string {
  return notes.split(/\r?\n/, 1)[0] ?? '';
}
