/** The certificate authorities that the system trusts. Node has a list of its own, which knows nothing of those that an administrator added. */
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext } from 'node:tls';

/** Of Debian, Fedora and SUSE. */
const bundlePaths = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem'];

const minVersion = 'TLSv1.2';
const contexts = new Map<string, SecureContext>();

/** SSL_CERT_FILE takes the place of the system's list, as for OpenSSL. Where there is no list, Node's own is used. */
export function systemContext(environment: NodeJS.ProcessEnv): SecureContext {
  const given = environment['SSL_CERT_FILE'];
  const key = given ?? '';
  const known = contexts.get(key);
  if (known !== undefined) return known;
  const ca = firstBundle(given === undefined || given === '' ? bundlePaths : [given]);
  const context = createSecureContext({ minVersion, ...(ca !== undefined && { ca }) });
  contexts.set(key, context);
  return context;
}

/** For where the fingerprint decides. */
export function contextWithoutAuthorities(): SecureContext {
  return createSecureContext({ minVersion, ca: [] });
}

function firstBundle(paths: readonly string[]): string | undefined {
  for (const path of paths) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      continue;
    }
  }
  return undefined;
}
