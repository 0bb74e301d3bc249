/** `pbsfs key paperkey`: a key file to print, as text to type and as a QR code to scan. Both give a key file that works. */
import { unwrapKeyFile } from '../../crypto/key-wrap.js';
import { UsageError } from '../../errors.js';
import { encodeKeyFile, type KeyFile } from '../../format/key-file.js';
import { encodePaperKey } from '../../format/paper-key.js';
import { writeOut } from '../output.js';
import { fingerprintText } from './key-facts.js';
import { readKey } from './key-file-commands.js';
import { warn, type KeyOptions } from './key-options.js';

const subjectLengthMax = 200;

export async function printPaperKey(values: KeyOptions, [path]: readonly string[]): Promise<void> {
  const { subject, 'output-format': format = 'html' } = values;
  if (format !== 'html' && format !== 'text') throw new UsageError(`--output-format: '${format}' is neither html nor text`);
  if (subject !== undefined && (subject.length > subjectLengthMax || /\p{Cc}/u.test(subject))) {
    throw new UsageError(`--subject is one line of at most ${subjectLengthMax} characters`);
  }
  const { file, path: found } = await readKey(path);
  if (file.kdf.type === 'none') {
    unwrapKeyFile(file);
    warn(`${found} has no password: whoever sees the paper has the key`);
  }
  await writeOut(format === 'html' ? await paperKeyHtml(file, subject) : await paperKeyText(file, subject));
}

/** What is behind the last line of the key is not read again. */
export async function paperKeyText(file: KeyFile, subject: string | undefined): Promise<string> {
  const json = encodeKeyFile(file).toString();
  const { default: qrCode } = await import('qrcode');
  const code = await qrCode.toString(json, { type: 'utf8', errorCorrectionLevel: 'L' });
  return `${subject === undefined ? '' : `Subject: ${subject}\n\n`}${encodePaperKey(json)}\n${code}\n`;
}

/** One page, without anything from elsewhere. */
export async function paperKeyHtml(file: KeyFile, subject: string | undefined): Promise<string> {
  const json = encodeKeyFile(file).toString();
  const { default: qrCode } = await import('qrcode');
  const code = await qrCode.toString(json, { type: 'svg', errorCorrectionLevel: 'M', margin: 4 });
  const title = subject ?? 'Encryption key';
  const facts = [`Fingerprint: ${fingerprintText(file) ?? 'not in the file'}`, `Created: ${file.created}`, ...(file.hint === undefined ? [] : [`Password hint: ${file.hint}`])];
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${escaped(title)}</title>
<style>
body { font-family: sans-serif; margin: 2em; }
pre { font-size: 9pt; border: 1px solid; padding: 1em; white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 1em 0; width: 12cm; break-inside: avoid; }
</style>
</head>
<body>
<h1>${escaped(title)}</h1>
${facts.map((fact) => `<p>${escaped(fact)}</p>`).join('\n')}
<p>To use the key, scan the code below, or type the lines in the frame, into a file. That file is the key file.
A line that is broken here may be broken there.</p>
<pre>
${escaped(encodePaperKey(json))}</pre>
<figure>
${code.trim()}
</figure>
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
