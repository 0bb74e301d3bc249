/** Whether and with what key snapshots are written. Format: datastore, sections 5.3 and 6.6. */
import { readFile } from 'node:fs/promises';
import type { BackupEncryption } from '../backup/backup-request.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { wrapKey } from '../crypto/key-wrap.js';
import { encryptWithMasterKey } from '../crypto/master-key.js';
import { CryptoError, StoreError, UsageError, codeOf, messageOf } from '../errors.js';
import { encodeKeyFile } from '../format/key-file.js';
import { localTime } from '../format/local-time.js';
import type { CryptMode } from '../format/manifest.js';
import type { FoundKeyFile } from './keys.js';

export const cryptModes: readonly CryptMode[] = ['encrypt', 'sign-only', 'none'];

const pemBytesMax = 64 * 1024;

export interface EncryptionChoice {
  /** As typed. */
  readonly cryptMode: string | undefined;
  readonly masterKeyPath: string | undefined;
}

/** With a key the mode is `encrypt` unless another one is asked for, without one it is `none`. USAGE, NOT_FOUND, BAD_KEY_FILE. */
export async function encryptionOf(
  key: EncryptionKey | undefined,
  found: FoundKeyFile | undefined,
  { cryptMode: text, masterKeyPath }: EncryptionChoice,
): Promise<BackupEncryption> {
  const cryptMode = cryptModeOf(text, key !== undefined);
  if (key === undefined || found === undefined || cryptMode === 'none') {
    if (masterKeyPath !== undefined) throw new UsageError('--master-pubkey has no meaning without encryption: it keeps the key of --keyfile');
    return { cryptMode, key: undefined, encryptedKey: undefined };
  }
  if (masterKeyPath === undefined) return { cryptMode, key, encryptedKey: undefined };
  const plain = encodeKeyFile(wrapKey(key, { kdf: { type: 'none' }, created: found.file.created, modified: localTime(new Date()) }));
  return { cryptMode, key, encryptedKey: encryptWithMasterKey(await readPem(masterKeyPath), plain) };
}

export function cryptModeOf(text: string | undefined, hasKey: boolean): CryptMode {
  if (text === undefined) return hasKey ? 'encrypt' : 'none';
  const mode = cryptModes.find((name) => name === text);
  if (mode === undefined) throw new UsageError(`--crypt-mode: '${text}' is none of ${cryptModes.join(', ')}`);
  if (mode !== 'none' && !hasKey) throw new UsageError(`--crypt-mode ${mode} needs a key: give --keyfile`);
  return mode;
}

async function readPem(path: string): Promise<Buffer> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > pemBytesMax) throw new CryptoError('BAD_KEY_FILE', `${path} is too large for a master key`);
    return bytes;
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw cause;
    throw new StoreError('NOT_FOUND', `master key ${path} can't be read: ${messageOf(cause)}`, { cause });
  }
}
