/** `pbsfs key create-master-key`, `import-master-pubkey` and `import-with-master-key`. Format: datastore, section 6.6. */
import { join, resolve } from 'node:path';
import { decodeBlob } from '../../codec/blob-decoder.js';
import { unwrapKeyFile } from '../../crypto/key-wrap.js';
import { createMasterKey, decryptWithMasterKey, readMasterPublicKey } from '../../crypto/master-key.js';
import { CryptoError, messageOf } from '../../errors.js';
import { isBlob } from '../../format/blob.js';
import { parseKeyFile } from '../../format/key-file.js';
import { readSecretFile } from '../../mount/keys.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import { localTime } from '../../format/local-time.js';
import { writeOut } from '../output.js';
import { wrapAsAsked, writeNewKey } from './key-file-commands.js';
import { masterPasswordSource, passwordSource, warn, type KeyOptions } from './key-options.js';
import { defaultKeyPath, defaultMasterPath, ensureKeyDirectory, masterPrivateName, masterPublicName } from './key-paths.js';
import { findNewPassword, findOldPassword } from './new-password.js';
import { publicMode, refuseExisting, writeNewFile } from './secret-file.js';

const what = { public: 'public master key', private: 'private master key' };

export async function createMasterKeyFiles(values: KeyOptions): Promise<void> {
  const { output = '.', json = false } = values;
  const publicKey = resolve(join(output, masterPublicName));
  const privateKey = resolve(join(output, masterPrivateName));
  await refuseExisting(publicKey, what.public);
  await refuseExisting(privateKey, what.private);
  const password = await findNewPassword(`the master key ${privateKey}`, passwordSource(values));
  const { publicPem, privatePem } = await createMasterKey(password);
  await writeNewFile(privateKey, privatePem, what.private);
  await writeNewFile(publicKey, publicPem, what.public, publicMode);
  const lines = `${publicKey}: public, for pbsfs key import-master-pubkey on machines that back up\n${privateKey}: private, keep it where backups are not\n`;
  await writeOut(json ? `${JSON.stringify({ publicKey, privateKey })}\n` : lines);
}

export async function importMasterPublicKey({ json = false }: KeyOptions, [source = '']: readonly string[]): Promise<void> {
  const path = defaultMasterPath();
  const pem = await readSecretFile(source, what.public, () => undefined);
  const publicPem = naming(source, () => readMasterPublicKey(pem));
  await ensureKeyDirectory(path);
  await writeNewFile(path, publicPem, what.public, publicMode);
  await writeOut(json ? `${JSON.stringify({ path })}\n` : `${path}\n`);
}

export async function importWithMasterKey(values: KeyOptions, [masterPath = '', encryptedPath = '', path = defaultKeyPath()]: readonly string[]): Promise<void> {
  await refuseExisting(path, 'key file');
  const privatePem = await readSecretFile(masterPath, what.private, warn);
  const ciphertext = await readEncryptedKey(encryptedPath);
  const password = needsPassword(privatePem) ? await findOldPassword(masterPath, masterPasswordSource(values)) : undefined;
  const plain = naming(masterPath, () => decryptWithMasterKey(privatePem, password, ciphertext));
  const { key, created } = naming(encryptedPath, () => {
    const file = parseKeyFile(plain);
    return { key: unwrapKeyFile(file), created: file.created };
  });
  await writeNewKey(path, await wrapAsAsked(key, path, values, passwordSource(values), { created, modified: localTime(new Date()) }), values);
}

/** The content of `rsa-encrypted.key`, or the blob with it as it lies in a snapshot. */
async function readEncryptedKey(path: string): Promise<Buffer> {
  const bytes = await readSecretFile(path, 'encrypted key', () => undefined);
  return isBlob(bytes) ? decodeBlob(bytes, await loadZstd(), undefined) : bytes;
}

/** Both of the forms in which PEM files are encrypted say so. */
function needsPassword(pem: Buffer): boolean {
  return pem.includes('ENCRYPTED');
}

/** Runs `action`; what it throws names the file. */
function naming<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof CryptoError) throw new CryptoError(cause.code, `${path}: ${messageOf(cause)}`, { cause });
    throw cause;
  }
}
