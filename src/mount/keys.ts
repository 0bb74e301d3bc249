/** Key files as a person keeps them: where they lie, who else can read them, what password they need. */
import { open, type FileHandle } from 'node:fs/promises';
import { CryptoError, PbsfsError, StoreError, codeOf, messageOf } from '../errors.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { unwrapKeyFile } from '../crypto/key-wrap.js';
import { parseKeyFile, type KeyFile } from '../format/key-file.js';

const secretFileBytesMax = 64 * 1024;
const readableByOthers = 0o044;

export interface FoundKeyFile {
  readonly path: string;
  readonly file: KeyFile;
}

/** Reads and parses key files. NOT_FOUND, NO_PERMISSION, BAD_KEY_FILE; one that others can read is only warned about. */
export async function readKeyFiles(paths: readonly string[], warn: (line: string) => void): Promise<FoundKeyFile[]> {
  const found: FoundKeyFile[] = [];
  for (const path of paths) {
    const bytes = await readSecretFile(path, 'key file', warn);
    found.push({ path, file: naming(path, () => parseKeyFile(bytes)) });
  }
  return found;
}

/** The keys in them. PASSWORD_REQUIRED, WRONG_PASSWORD, BAD_KEY_FILE. */
export function unlockKeyFiles(found: readonly FoundKeyFile[], password: Uint8Array | undefined): EncryptionKey[] {
  return found.map(({ path, file }) => naming(path, () => unwrapKeyFile(file, password)));
}

/** The bytes of a file that nobody else should be able to read. */
export async function readSecretFile(path: string, what: string, warn: (line: string) => void): Promise<Buffer> {
  try {
    const handle = await open(path, 'r');
    try {
      const facts = await handle.stat();
      if (facts.isFile() && (facts.mode & readableByOthers) !== 0) warn(`${what} ${path} can be read by others; chmod 600 ${path}`);
      const bytes = await readAtMost(handle, secretFileBytesMax + 1);
      if (bytes.length > secretFileBytesMax) throw new CryptoError('BAD_KEY_FILE', `${what} ${path} is larger than ${secretFileBytesMax} bytes`);
      return bytes;
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new StoreError('NOT_FOUND', `${what} ${path} does not exist`, { cause });
    if (codeOf(cause) === 'EACCES') throw new StoreError('NO_PERMISSION', `${what} ${path} can not be read: no permission`, { cause });
    if (codeOf(cause) === 'EISDIR') throw new CryptoError('BAD_KEY_FILE', `${what} ${path} is a directory`, { cause });
    throw cause;
  }
}

/** From where the file is to its end: it may be a pipe. */
async function readAtMost(handle: FileHandle, bytesMax: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytesMax);
  for (let length = 0; ; ) {
    const { bytesRead } = await handle.read(buffer, length, bytesMax - length, null);
    length += bytesRead;
    if (bytesRead === 0 || length === bytesMax) return buffer.subarray(0, length);
  }
}

/** Runs `action`; what it throws names the key file. */
function naming<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof CryptoError) throw new CryptoError(cause.code, `${path}: ${messageOf(cause)}`, { cause });
    if (cause instanceof PbsfsError) throw new CryptoError('BAD_KEY_FILE', `${path}: ${messageOf(cause)}`, { cause });
    throw cause;
  }
}
