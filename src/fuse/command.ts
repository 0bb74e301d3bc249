/** Runs a program of the system, never waiting for it synchronously: it may look at our own mount. */
import { type StdioOptions, spawn } from 'node:child_process';

const stderrBytesMax = 4096;

export interface CommandResult {
  /** Exit status; undefined if the program is not installed or was ended. */
  readonly status: number | undefined;
  readonly missing: boolean;
  readonly timedOut: boolean;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Descriptors from 3 on. */
  readonly descriptors?: readonly number[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export function runCommand(program: string, args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const { descriptors = [], environment = {}, timeoutMs } = options;
  const stdio: StdioOptions = ['ignore', 'ignore', 'pipe', ...descriptors];
  const child = spawn(program, args, { stdio, cwd: '/', env: { ...process.env, LC_ALL: 'C', ...environment } });
  let stderr = '';
  let timedOut = false;
  child.stderr?.on('data', (chunk: Buffer) => {
    if (stderr.length < stderrBytesMax) stderr += chunk.toString();
  });
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
    child.stderr?.destroy();
  }, timeoutMs);
  return new Promise((resolve) => {
    const settle = (status: number | undefined, missing: boolean): void => {
      clearTimeout(timer);
      resolve({ status, missing, timedOut, stderr: stderr.trim().replace(/\s*\n\s*/g, '; ') });
    };
    child.on('error', (error: NodeJS.ErrnoException) => settle(undefined, error.code === 'ENOENT'));
    child.on('close', (status) => settle(status ?? undefined, false));
    // A program that hangs in the kernel does not close its pipes even when it was killed.
    setTimeout(() => settle(undefined, false), timeoutMs + 1000).unref();
  });
}
