/** Names are bytes; this is how they are printed in messages and on terminals: as bash and zsh would read them back. */

const plainPattern = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of a name that is valid UTF-8, else undefined. */
export function nameText(name: Uint8Array): string | undefined {
  try {
    return decoder.decode(name);
  } catch {
    return undefined;
  }
}

/** The name itself if it is printable text, else `$'...'` with every other byte escaped. */
export function printableName(name: Uint8Array): string {
  const text = nameText(name);
  return text !== undefined && plainPattern.test(text) ? text : `$'${[...name].map(escapedByte).join('')}'`;
}

function escapedByte(byte: number): string {
  if (byte === 0x27 || byte === 0x5c) return `\\${String.fromCharCode(byte)}`;
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
}
