/** The bytes of the arguments. Node decodes them as UTF-8, which loses names that are none. Format: proc_pid_cmdline(5). */
import { readFileSync } from 'node:fs';

const replacement = '\ufffd';

/** Of the process that it runs in, for its last `args.length` arguments. */
export function rawArguments(args: readonly string[]): Buffer[] {
  if (!args.some((text) => text.includes(replacement))) return args.map((text) => Buffer.from(text));
  const line = readFileSync('/proc/self/cmdline');
  const raw: Buffer[] = [];
  for (let start = 0, end = line.indexOf(0); end !== -1; start = end + 1, end = line.indexOf(0, start)) {
    raw.push(line.subarray(start, end));
  }
  return raw.slice(-args.length);
}
