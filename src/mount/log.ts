/** Lines for people on standard error, which may be a terminal, a journal or a log file, and may be gone or full. */

/** A failure to log is no reason to end: the mount matters more. */
export function stderrLog(prefix: () => string): (line: string) => void {
  if (process.stderr.listenerCount('error') === 0) process.stderr.on('error', () => undefined);
  return (line) => void process.stderr.write(`${prefix()}${line}\n`);
}
