/** Runs the built command as a person or a program does. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Ended {
  readonly status: number | string;
  readonly stdout: string;
  readonly bytes: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

const timeoutMs = 50_000;
const outputBytesMax = 1 << 28;

/** Any program; never rejects for its exit status. */
export function runProgram(file: string, args: readonly (string | Buffer)[], { env, cwd }: RunOptions = {}): Promise<Ended> {
  const options = { encoding: 'buffer', timeout: timeoutMs, maxBuffer: outputBytesMax, env: { ...process.env, ...env }, ...(cwd !== undefined && { cwd }) } as const;
  return new Promise((resolve) => {
    execFile(file, args as string[], options, (error, stdout, stderr) => {
      const status = error === null ? 0 : (error.code ?? error.signal ?? 'unknown');
      resolve({ status, stdout: stdout.toString(), bytes: stdout, stderr: stderr.toString() });
    });
  });
}

export function pbsfs(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return runProgram(process.execPath, [program, ...args], options);
}

export interface Running {
  readonly child: ChildProcess;
  readonly exited: Promise<number | string>;
  /** Standard error and output so far. */
  readonly text: () => string;
  /** Resolves when `pattern` was written; rejects when the program ends without. */
  wrote(pattern: RegExp): Promise<void>;
}

/** A program that stays. */
export function start(file: string, args: readonly string[], { env, cwd }: RunOptions & { detached?: boolean } = {}): Running {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, ...(cwd !== undefined && { cwd }) });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const exited = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  const wrote = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test(text)) {
      const ended = await Promise.race([exited.then(() => true), new Promise((resolve) => setTimeout(resolve, 20))]);
      if (ended === true && !pattern.test(text)) throw new Error(`ended without ${String(pattern)}: ${text}`);
    }
  };
  return { child, exited, text: () => text, wrote };
}

/** Waits for something that another process is about to do. */
export async function eventually(condition: () => boolean, what: string, limitMs = 10_000): Promise<void> {
  for (const end = performance.now() + limitMs; !condition(); ) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether a process runs: a zombie does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
