/** Whether and with what key a backup is encrypted. Format: datastore, sections 5.3 and 6.6. */
import { readFile } from 'node:fs/promises';
import type { BackupEncryption } from '../backup/backup-request.js';
import { wrapKey } from '../crypto/key-wrap.js';
import { encryptWithMasterKey } from '../crypto/master-key.js';
import { CryptoError, StoreError, UsageError, codeOf, messageOf } from '../errors.js';
import { encodeKeyFile } from '../format/key-file.js';
import type { CryptMode } from '../format/manifest.js';
import { readKeyFiles, unlockKeyFiles } from '../mount/keys.js';
import { findPassword } from '../mount/password.js';
import type { OptionValues } from './command.js';
import type { encryptionOptions } from './source-options.js';
import { localTime } from './local-time.js';

const cryptModes: readonly CryptMode[] = ['encrypt', 'sign-only', 'none'];
const pemBytesMax = 64 * 1024;

/** With a key the mode is `encrypt` unless another one is asked for, without one it is `none`. */
export async function readEncryption(values: OptionValues<typeof encryptionOptions>, warn: (line: string) => void): Promise<BackupEncryption> {
  const { keyfile } = values;
  const cryptMode = cryptModeOf(values['crypt-mode'], keyfile);
  const masterPath = values['master-pubkey'];
  if (keyfile === undefined || cryptMode === 'none') {
    if (masterPath !== undefined) throw new UsageError('--master-pubkey has no meaning without encryption: it keeps the key of --keyfile');
    return { cryptMode, key: undefined, encryptedKey: undefined };
  }
  const found = await readKeyFiles([keyfile], warn);
  const [key] = unlockKeyFiles(found, await findPassword(found, values['password-file'], warn));
  const [first] = found;
  if (key === undefined || first === undefined) throw new CryptoError('KEY_REQUIRED', `${keyfile} holds no key`);
  if (masterPath === undefined) return { cryptMode, key, encryptedKey: undefined };
  const plain = encodeKeyFile(wrapKey(key, { kdf: { type: 'none' }, created: first.file.created, modified: localTime(new Date()) }));
  return { cryptMode, key, encryptedKey: encryptWithMasterKey(await readPem(masterPath), plain) };
}

function cryptModeOf(text: string | undefined, keyfile: string | undefined): CryptMode {
  if (text === undefined) return keyfile === undefined ? 'none' : 'encrypt';
  const mode = cryptModes.find((name) => name === text);
  if (mode === undefined) throw new UsageError(`--crypt-mode: '${text}' is none of ${cryptModes.join(', ')}`);
  if (mode !== 'none' && keyfile === undefined) throw new UsageError(`--crypt-mode ${mode} needs a key: give --keyfile`);
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
