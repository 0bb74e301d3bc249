/** Key files between the lines that printed ones have: what a person types or scans from paper is a key file. */

const begin = '-----BEGIN PROXMOX BACKUP KEY-----';
const end = '-----END PROXMOX BACKUP KEY-----';

/** `json`: the text of a key file. Lines short enough to type. */
export function encodePaperKey(json: string): string {
  return `${begin}\n${JSON.stringify(JSON.parse(json), null, 2)}\n${end}\n`;
}

/**
 * What stands between the lines, whatever is before and after them; all of `bytes` without them. Lines may have been broken anywhere, by a
 * printer or a person: JSON needs no line ends.
 */
export function paperKeyContent(bytes: Buffer): Buffer {
  const start = bytes.indexOf(begin);
  const stop = bytes.indexOf(end, Math.max(start, 0));
  if (start === -1 || stop === -1) return bytes;
  const text = bytes.toString('latin1', start + begin.length, stop);
  return Buffer.from(text.replace(/[\r\n]+/g, ''), 'latin1');
}
