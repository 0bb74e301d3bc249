/** The key of encrypted stores, and its file. */
import { writeFileSync } from 'node:fs';
import { EncryptionKey } from '../../dist/crypto/encryption-key.js';
import { wrapKey } from '../../dist/crypto/key-wrap.js';
import { encodeKeyFile } from '../../dist/format/key-file.js';

export const benchKey = new EncryptionKey(Buffer.alloc(32, 0x5a));

/** @param {string} path */
export function writeKeyFile(path) {
  const time = '2020-09-13T12:26:40+00:00';
  writeFileSync(path, encodeKeyFile(wrapKey(benchKey, { kdf: { type: 'none' }, created: time, modified: time })), { mode: 0o600 });
  return path;
}
