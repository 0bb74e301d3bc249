/** Format: datastore, section 2.5. The digest that a chunk is named by. */
import { createHash } from 'node:crypto';

/** SHA-256 of the plain data, followed by the key's id_key if the chunk is encrypted. 32 bytes. */
export function chunkDigest(data: Uint8Array, idKey?: Uint8Array): Buffer {
  const hash = createHash('sha256').update(data);
  return (idKey === undefined ? hash : hash.update(idKey)).digest();
}
