/** Certificates for servers on loopback, made by openssl. */
import { execFileSync } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchDirectory } from './scratch.js';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
  /** Lower-case hex pairs with colons. */
  readonly fingerprint: string;
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];

function openssl(directory: string, ...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
}

function read(directory: string, name: string): Certificate {
  const cert = readFileSync(join(directory, `${name}.pem`), 'utf8');
  const digest = createHash('sha256').update(new X509Certificate(cert).raw).digest('hex');
  return { key: readFileSync(join(directory, `${name}.key`), 'utf8'), cert, fingerprint: (digest.match(/../g) ?? []).join(':') };
}

export function selfSignedCertificate(): Certificate {
  const directory = scratchDirectory();
  openssl(directory, 'req', '-x509', ...newKey, '-subj', '/CN=pbs.example', '-keyout', 'own.key', '-out', 'own.pem');
  return read(directory, 'own');
}

/** Of an authority that nobody knows: `caPath` is its certificate. `names`: `DNS:localhost`, `IP:127.0.0.1`. */
export function signedCertificate(names: readonly string[]): Certificate & { readonly caPath: string } {
  const directory = scratchDirectory();
  openssl(directory, 'req', '-x509', ...newKey, '-subj', '/CN=authority', '-keyout', 'ca.key', '-out', 'ca.pem');
  openssl(directory, 'req', ...newKey, '-subj', '/CN=signed', '-keyout', 'own.key', '-out', 'own.csr');
  writeFileSync(join(directory, 'names'), `subjectAltName=${names.join(',')}\n`);
  openssl(directory, 'x509', '-req', '-in', 'own.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names', '-out', 'own.pem');
  return { ...read(directory, 'own'), caPath: join(directory, 'ca.pem') };
}
