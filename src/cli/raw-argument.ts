/** The bytes of an argument. Node decodes arguments as UTF-8, which loses names that are none. Format: proc_pid_cmdline(5). */
import { readFileSync } from 'node:fs';

const replacement = '\ufffd';

export function rawArgument(text: string): Buffer {
  if (!text.includes(replacement)) return Buffer.from(text);
  const line = readFileSync('/proc/self/cmdline');
  for (let start = 0, end = line.indexOf(0); end !== -1; start = end + 1, end = line.indexOf(0, start)) {
    const bytes = line.subarray(start, end);
    if (bytes.toString() === text) return bytes;
  }
  return Buffer.from(text);
}
