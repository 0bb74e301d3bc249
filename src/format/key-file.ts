/**
 * Format: datastore, sections 6.3 and 6.4. The JSON that holds an encryption key, plain or wrapped with a password.
 * The cost of the password's derivation comes from the file and is bounded here, before anyone pays it.
 */
import { z } from 'zod';
import { CryptoError, FormatError, messageOf } from '../errors.js';
import { formatFingerprint, parseFingerprint } from './fingerprint.js';
import { parseJson } from './json.js';
import { paperKeyContent } from './paper-key.js';
import { checkSchema } from './schema.js';

export interface ScryptKdf {
  readonly type: 'scrypt';
  readonly n: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
}

export interface Pbkdf2Kdf {
  readonly type: 'pbkdf2';
  readonly iterations: number;
  readonly salt: Buffer;
}

export type PasswordKdf = ScryptKdf | Pbkdf2Kdf;
export type Kdf = { readonly type: 'none' } | PasswordKdf;

export interface KeyFile {
  readonly kdf: Kdf;
  /** RFC 3339, as written. */
  readonly created: string;
  readonly modified: string;
  /** The 32 bytes of the key, or IV, tag and ciphertext of it: 64 bytes. */
  readonly data: Buffer;
  /** 32 bytes. */
  readonly fingerprint: Buffer | undefined;
  readonly hint: string | undefined;
}

const plainKeyBytes = 32;
const wrappedKeyBytes = 64;
const scryptMemoryBytesMax = 1025 * 1024 * 1024;

const keyFileBytesMax = 64 * 1024;
const saltBytesMax = 1024;
/** In units of n * r * p. The default is 2^19 and takes a fifth of a second. */
const scryptWorkMax = 2 ** 25;
const pbkdf2IterationsMax = 10_000_000;
export const hintLengthMax = 64;

const countSchema = z.number().int().positive();
const bytesSchema = z.base64().transform((text) => Buffer.from(text, 'base64'));
const saltSchema = bytesSchema.refine((salt) => salt.length <= saltBytesMax, `more than ${saltBytesMax} bytes`);
const scryptSchema = z
  .object({ n: countSchema, r: countSchema, p: countSchema, salt: saltSchema })
  .refine(({ n }) => n > 1 && Number.isInteger(Math.log2(n)), 'n is not a power of two above 1')
  .refine(({ n, r }) => Math.log2(n) < 16 * r, 'n is too large for r')
  .refine(({ n, r, p }) => scryptMemoryBytes(n, r, p) <= scryptMemoryBytesMax, 'needs more than 1025 MiB of memory')
  .refine(({ n, r, p }) => n * r * p <= scryptWorkMax, 'needs too much time');
const timeSchema = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/, 'not a time');
const keyFileSchema = z.object({
  kdf: z
    .union([
      z.strictObject({ Scrypt: scryptSchema }),
      z.strictObject({ PBKDF2: z.object({ iter: countSchema.max(pbkdf2IterationsMax), salt: saltSchema }) }),
    ])
    .nullable(),
  created: timeSchema,
  modified: timeSchema,
  data: bytesSchema,
  fingerprint: z.string().nullish(),
  hint: z.string().max(hintLengthMax).nullish(),
});

/** Also of a printed one. Throws BAD_KEY_FILE. */
export function parseKeyFile(text: Uint8Array | string): KeyFile {
  try {
    const json = paperKeyContent(typeof text === 'string' ? Buffer.from(text) : Buffer.from(text.buffer, text.byteOffset, text.length));
    const document = checkSchema(keyFileSchema, parseJson(json, 'the key file', keyFileBytesMax), 'the key file');
    const fingerprint = document.fingerprint ?? undefined;
    const file = {
      kdf: kdfOf(document.kdf),
      created: document.created,
      modified: document.modified,
      data: document.data,
      fingerprint: fingerprint === undefined ? undefined : parseFingerprint(fingerprint),
      hint: document.hint ?? undefined,
    };
    checkDataLength(file);
    return file;
  } catch (cause) {
    if (cause instanceof FormatError) throw new CryptoError('BAD_KEY_FILE', messageOf(cause), { cause });
    throw cause;
  }
}

/** One line, members in the order in which clients write them. Throws BAD_KEY_FILE for what could not be read again. */
export function encodeKeyFile(file: KeyFile): Buffer {
  const text = JSON.stringify({
    kdf: encodeKdf(file.kdf),
    created: file.created,
    modified: file.modified,
    data: file.data.toString('base64'),
    ...(file.fingerprint && { fingerprint: formatFingerprint(file.fingerprint) }),
    ...(file.hint !== undefined && { hint: file.hint }),
  });
  parseKeyFile(text);
  return Buffer.from(text);
}

/** What scrypt allocates: the block being mixed, its table, and the blocks of all `p`. */
export function scryptMemoryBytes(n: number, r: number, p: number): number {
  return 128 * r * (n + p + 2);
}

function checkDataLength(file: KeyFile): void {
  const length = file.kdf.type === 'none' ? plainKeyBytes : wrappedKeyBytes;
  if (file.data.length !== length) {
    throw new FormatError('BAD_STRUCTURE', `the key file holds ${file.data.length} bytes of key data, not ${length}`);
  }
}

function kdfOf(kdf: z.output<typeof keyFileSchema>['kdf']): Kdf {
  if (kdf === null) return { type: 'none' };
  if ('Scrypt' in kdf) return { type: 'scrypt', ...kdf.Scrypt };
  return { type: 'pbkdf2', iterations: kdf.PBKDF2.iter, salt: kdf.PBKDF2.salt };
}

function encodeKdf(kdf: Kdf): z.input<typeof keyFileSchema>['kdf'] {
  switch (kdf.type) {
    case 'none':
      return null;
    case 'scrypt':
      return { Scrypt: { n: kdf.n, r: kdf.r, p: kdf.p, salt: kdf.salt.toString('base64') } };
    case 'pbkdf2':
      return { PBKDF2: { iter: kdf.iterations, salt: kdf.salt.toString('base64') } };
  }
}
