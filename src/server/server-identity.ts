/** The certificate that a server shows: one that somebody gave it, or one of its own making. Format: protocol, section 4. */
import { X509Certificate, createHash, createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname, networkInterfaces } from 'node:os';
import { StoreError, codeOf, messageOf } from '../errors.js';
import { formatFingerprint } from '../format/fingerprint.js';
import { readPrivateFile, writePrivateFile } from './access/users-file.js';
import { makeCertificate } from './certificate.js';

export interface ServerIdentity {
  /** PEM, with the chain if there is one. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** SHA-256 of the first certificate: `0e:ab:...`. */
  readonly fingerprint: string;
}

const pemBytesMax = 1 << 20;
const validYears = 20;
const dayMs = 86_400_000;

/** NOT_FOUND, NO_PERMISSION for a key that others can read; UNTRUSTED for files that do not belong together. */
export async function readIdentity(certPath: string, keyPath: string): Promise<ServerIdentity> {
  const key = await readPrivateFile(keyPath, 'the key of the certificate', pemBytesMax);
  const cert = await readCertificate(certPath);
  try {
    const leaf = new X509Certificate(cert);
    if (!leaf.checkPrivateKey(createPrivateKey(key))) throw new Error(`the key in ${keyPath} is another certificate's`);
    return { cert, key, fingerprint: formatFingerprint(createHash('sha256').update(leaf.raw).digest()) };
  } catch (cause) {
    throw new StoreError('UNTRUSTED', `${certPath} and ${keyPath} can't be used: ${messageOf(cause)}`, { cause });
  }
}

/** Makes both files unless both are there. */
export async function ensureIdentity(certPath: string, keyPath: string, log: (line: string) => void): Promise<ServerIdentity> {
  try {
    return await readIdentity(certPath, keyPath);
  } catch (error) {
    if (codeOf(error) !== 'NOT_FOUND') throw error;
  }
  const now = Date.now();
  const made = makeCertificate({ names: ownNames(), notBefore: new Date(now - dayMs), notAfter: new Date(now + validYears * 365 * dayMs) });
  await writePrivateFile(keyPath, Buffer.from(made.key));
  await writePrivateFile(certPath, Buffer.from(made.cert));
  log(`${certPath} is new: a certificate of this server's own making`);
  return await readIdentity(certPath, keyPath);
}

async function readCertificate(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new StoreError('NOT_FOUND', `the certificate ${path} does not exist`, { cause });
    throw cause;
  }
}

/** By which clients may reach this machine. */
function ownNames(): readonly string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address.replace(/%.*$/, '')));
  return [...new Set([hostname(), 'localhost', ...addresses])];
}
