/** The key and crypt mode of a backup, from the command line. */
import type { BackupEncryption } from '../backup/backup-request.js';
import { cryptModeOf, encryptionOf } from '../mount/encryption.js';
import type { OptionValues } from './command.js';
import type { encryptionOptions } from './source-options.js';

export async function readEncryption(values: OptionValues<typeof encryptionOptions>, warn: (line: string) => void): Promise<BackupEncryption> {
  const { keyfile } = values;
  const choice = { cryptMode: values['crypt-mode'], masterKeyPath: values['master-pubkey'] };
  // Nobody is asked for the password of a key that is not needed.
  if (keyfile === undefined || cryptModeOf(choice.cryptMode, true) === 'none') return await encryptionOf(undefined, undefined, choice);
  const [{ readKeyFiles, unlockKeyFiles }, { findPassword }] = await Promise.all([import('../mount/keys.js'), import('../mount/password.js')]);
  const found = await readKeyFiles([keyfile], warn);
  const [key] = unlockKeyFiles(found, await findPassword(found, values['password-file'], warn));
  return await encryptionOf(key, found[0], choice);
}
