/** Format: datastore, section 1.4. `notes` of a group: free text, exactly as it is. Notes of a snapshot are in its manifest. */
import { FormatError } from '../errors.js';
import { decodeText } from './text.js';

export const notesBytesMax = 1024 * 1024;

/** Of a group or of a snapshot. Throws LIMIT_EXCEEDED, or BAD_STRUCTURE if it has no UTF-8. */
export function checkNotes(notes: string): void {
  const bytes = Buffer.byteLength(notes);
  if (bytes > notesBytesMax) throw new FormatError('LIMIT_EXCEEDED', `notes of ${bytes} bytes are too long: at most ${notesBytesMax}`);
  if (!notes.isWellFormed()) throw new FormatError('BAD_STRUCTURE', 'the notes are no well-formed text: they have half a character in them (a lone surrogate)');
}

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
