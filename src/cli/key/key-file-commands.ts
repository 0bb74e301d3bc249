/** `pbsfs key create`, `show` and `change-passphrase`: the key file itself. Format: datastore, sections 6.3 to 6.5. */
import { randomBytes } from 'node:crypto';
import { EncryptionKey, keyBytes } from '../../crypto/encryption-key.js';
import { wrapKey } from '../../crypto/key-wrap.js';
import { StoreError } from '../../errors.js';
import { encodeKeyFile, type KeyFile } from '../../format/key-file.js';
import { readKeyFiles, unlockKeyFiles, type FoundKeyFile } from '../../mount/keys.js';
import { localTime } from '../../format/local-time.js';
import { printKey } from './key-facts.js';
import { checkHint, hintOf, kdfOf, newPasswordSource, passwordSource, warn, type KeyOptions } from './key-options.js';
import { defaultKeyPath, ensureKeyDirectory } from './key-paths.js';
import { findNewPassword, findOldPassword, type PasswordSource } from './new-password.js';
import { refuseExisting, replaceFile, writeNewFile } from './secret-file.js';

export async function createKey(values: KeyOptions, [path = defaultKeyPath()]: readonly string[]): Promise<void> {
  await refuseExisting(path, 'key file');
  const key = new EncryptionKey(randomBytes(keyBytes));
  const now = localTime(new Date());
  await writeNewKey(path, await wrapAsAsked(key, path, values, passwordSource(values), { created: now, modified: now }), values);
}

/** Writes a key file that is not there yet, and tells of it. */
export async function writeNewKey(path: string, file: KeyFile, { json = false }: KeyOptions): Promise<void> {
  await ensureKeyDirectory(path);
  await writeNewFile(path, encodeKeyFile(file), 'key file');
  await printKey(path, file, json);
}

export async function showKey({ json = false }: KeyOptions, [path]: readonly string[]): Promise<void> {
  const found = await readKey(path);
  await printKey(found.path, found.file, json);
}

export async function changePassphrase(values: KeyOptions, [given]: readonly string[]): Promise<void> {
  const found = await readKey(given);
  const { path, file } = found;
  const isWrapped = file.kdf.type !== 'none';
  const old = isWrapped ? await findOldPassword(`${path}${hintText(file)}`, passwordSource(values)) : undefined;
  const [key] = unlockKeyFiles([found], old);
  if (key === undefined) throw new StoreError('NOT_FOUND', `${path} holds no key`);
  const times = { created: file.created, modified: localTime(new Date()) };
  const changed = await wrapAsAsked(key, path, values, newPasswordSource(values), times);
  await replaceFile(path, encodeKeyFile(changed), 'key file');
  await printKey(path, changed, values.json ?? false);
}

/** That of `path`, or the one that is used if nobody says which. */
export async function readKey(path = defaultKeyPath()): Promise<FoundKeyFile> {
  const [found] = await readKeyFiles([path], warn);
  if (found === undefined) throw new StoreError('NOT_FOUND', `${path} holds no key`);
  return found;
}

/** The key with a new password, or without one. */
export async function wrapAsAsked(
  key: EncryptionKey,
  path: string,
  values: KeyOptions,
  source: PasswordSource,
  times: Pick<KeyFile, 'created' | 'modified'>,
): Promise<KeyFile> {
  const kdf = kdfOf(values);
  const hint = hintOf(values, kdf);
  if (kdf.type === 'none') return wrapKey(key, { kdf, ...times });
  const password = await findNewPassword(`key file ${path}`, source);
  checkHint(hint, password);
  return wrapKey(key, { kdf, password, ...times, ...hint });
}

function hintText({ hint }: KeyFile): string {
  return hint === undefined ? '' : ` (hint: ${JSON.stringify(hint)})`;
}
