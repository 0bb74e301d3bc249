/** Whether and with what key snapshots are written. Format: datastore, sections 5.3 and 6.6. */
import { readFile } from 'node:fs/promises';
import type { BackupEncryption } from '../backup/backup-request.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { CryptoError, StoreError, UsageError, codeOf, messageOf } from '../errors.js';
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
  return { cryptMode, key, encryptedKey: await encryptedFor(await readPem(masterKeyPath), key, found.file.created) };
}

/** The key for whoever has the master key. */
async function encryptedFor(masterPem: Buffer, key: EncryptionKey, created: string): Promise<Buffer> {
  // Few backups need this, and every one starts.
  const [{ encryptWithMasterKey }, { wrapKey }, { encodeKeyFile }, { localTime }] = await Promise.all([
    import('../crypto/master-key.js'),
    import('../crypto/key-wrap.js'),
    import('../format/key-file.js'),
    import('../format/local-time.js'),
  ]);
  return encryptWithMasterKey(masterPem, encodeKeyFile(wrapKey(key, { kdf: { type: 'none' }, created, modified: localTime(new Date()) })));
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
