/** Format: datastore, sections 1.1 and 3.1. Where chunks lie in a datastore. */
import { digestBytes } from './chunk-index.js';
import { FormatError } from '../errors.js';

/** Relative to the datastore: `.chunks/bb9f/bb9f8df6...`. */
export function chunkPath(digest: Buffer): string {
  if (digest.length !== digestBytes) throw new FormatError('BAD_STRUCTURE', `a digest has 32 bytes, not ${digest.length}`);
  const hex = digest.toString('hex');
  return `.chunks/${hex.slice(0, 4)}/${hex}`;
}

/** The digest that a file in `.chunks/xxxx` is named by; undefined for damaged, temporary and other files. */
export function parseChunkName(name: string): Buffer | undefined {
  return /^[a-f0-9]{64}$/.test(name) ? Buffer.from(name, 'hex') : undefined;
}
