/** What is told of a key file. */
import { unwrapKeyFile } from '../../crypto/key-wrap.js';
import { formatFingerprint } from '../../format/fingerprint.js';
import type { Kdf, KeyFile } from '../../format/key-file.js';
import { writeOut } from '../output.js';

/** Old files with a password do not say their fingerprint. */
export function fingerprintText(file: KeyFile): string | undefined {
  if (file.kdf.type === 'none') return unwrapKeyFile(file).fingerprintText;
  return file.fingerprint && formatFingerprint(file.fingerprint);
}

export async function printKey(path: string, file: KeyFile, json: boolean): Promise<void> {
  const { kdf, created, modified, hint } = file;
  const fingerprint = fingerprintText(file);
  if (json) {
    const document = { path, kdf: kdf.type, created, modified, fingerprint: fingerprint ?? null, hint: hint ?? null };
    await writeOut(`${JSON.stringify(document)}\n`);
    return;
  }
  const rows = [
    ['path', path],
    ['kdf', kdfText(kdf)],
    ['created', created],
    ['modified', modified],
    ['fingerprint', fingerprint ?? 'not in the file'],
    ...(hint === undefined ? [] : [['hint', printable(hint)]]),
  ];
  await writeOut(rows.map(([name = '', value = '']) => `${name.padEnd(11)}  ${value}\n`).join(''));
}

function kdfText(kdf: Kdf): string {
  switch (kdf.type) {
    case 'none':
      return 'none: no password';
    case 'scrypt':
      return `scrypt, n ${kdf.n}, r ${kdf.r}, p ${kdf.p}`;
    case 'pbkdf2':
      return `pbkdf2, ${kdf.iterations} iterations`;
  }
}

function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, '?');
}
