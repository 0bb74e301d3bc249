/** Certificates that a server makes. Format: RFC 5280. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { makeCertificate } from '../../src/server/certificate.js';

const notBefore = new Date('2026-01-02T03:04:05Z');

function made(names: readonly string[], notAfter = new Date('2049-12-31T23:59:59Z')): X509Certificate {
  const { cert, key } = makeCertificate({ names, notBefore, notAfter });
  const certificate = new X509Certificate(cert);
  expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.ca).toBe(false);
  return certificate;
}

describe('a certificate', () => {
  it('is for its names and addresses', () => {
    const certificate = made(['backup.example', 'localhost', '192.0.2.200', '::1', 'fe80::1:0:2', '2001:db8:1:2:3:4:5:6', '::ffff:10.0.0.1', '::']);
    expect(certificate.subject).toBe('CN=backup.example');
    for (const name of ['backup.example', 'localhost']) expect(certificate.checkHost(name)).toBe(name);
    for (const address of ['192.0.2.200', '::1', 'fe80::1:0:2', '2001:db8:1:2:3:4:5:6']) expect(certificate.checkIP(address), address).toBe(address);
    expect(certificate.checkHost('other.example')).toBeUndefined();
    expect(certificate.checkIP('192.0.2.201')).toBeUndefined();
    expect(certificate.subjectAltName).toContain('0:0:0:0:0:0:0:0');
  });

  it('is valid from and to the second, before and after 2050', () => {
    expect([made(['a']).validFrom, made(['a']).validTo].map((text) => new Date(text).toISOString())).toEqual(['2026-01-02T03:04:05.000Z', '2049-12-31T23:59:59.000Z']);
    expect(new Date(made(['a'], new Date('2050-01-01T00:00:00Z')).validTo).toISOString()).toBe('2050-01-01T00:00:00.000Z');
  });

  it('has a serial number and a key of its own, also of many names and of a long one', () => {
    const many = Array.from({ length: 200 }, (_, i) => `host${i}.example`);
    const [a, b] = [made(['x'.repeat(200), ...many]), made(['a'])];
    expect(a.checkHost('host199.example')).toBe('host199.example');
    expect(a.serialNumber).not.toBe(b.serialNumber);
    expect(a.fingerprint256).not.toBe(b.fingerprint256);
  });
});
