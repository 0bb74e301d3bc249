/** Asks the person at the terminal that the process was started from. */
import { openSync } from 'node:fs';
import { ReadStream, WriteStream, isatty } from 'node:tty';
import { StoreError, UsageError } from '../errors.js';

const secretBytesMax = 4096;

const enter = new Set([0x0a, 0x0d]);
const erase = new Set([0x08, 0x7f]);
const eraseAll = 0x15;
const interrupt = 0x03;
const endOfInput = 0x04;
const yes = new Set([0x79, 0x59]);

interface Terminal {
  readonly input: ReadStream;
  readonly output: WriteStream;
}

/** The bytes typed before Enter, which are not shown; undefined without a terminal. USAGE where nothing is typed, INTERRUPTED by Ctrl-C. */
export async function askOnTerminal(question: string): Promise<Buffer | undefined> {
  return await withTerminal(question, async ({ input }) => await readLine(input));
}

/** Whether the next key is `y`; undefined without a terminal. INTERRUPTED by Ctrl-C. */
export async function confirmOnTerminal(question: string): Promise<boolean | undefined> {
  return await withTerminal(question, async ({ input, output }) => {
    for await (const chunk of input) {
      const [key = 0] = chunk as Buffer;
      if (key === interrupt) throw interrupted();
      const isYes = yes.has(key);
      output.write(isYes ? 'yes' : 'no');
      return isYes;
    }
    return false;
  });
}

/** Whether somebody sits there: a program that only has a terminal from which it was started, with all its streams elsewhere, asks nobody. */
export function isAtTerminal(): boolean {
  if (!isatty(0) && !isatty(2)) return false;
  const fd = openTerminal();
  if (fd === undefined) return false;
  new ReadStream(fd).destroy();
  return true;
}

async function withTerminal<T>(question: string, use: (terminal: Terminal) => Promise<T>): Promise<T | undefined> {
  const fd = openTerminal();
  if (fd === undefined) return undefined;
  const input = new ReadStream(fd);
  const output = new WriteStream(openSync('/dev/tty', 'w'));
  try {
    input.setRawMode(true);
    output.write(question);
    return await use({ input, output });
  } finally {
    input.setRawMode(false);
    output.write('\n');
    input.destroy();
    output.destroy();
  }
}

function openTerminal(): number | undefined {
  try {
    return openSync('/dev/tty', 'r');
  } catch {
    return undefined;
  }
}

async function readLine(input: ReadStream): Promise<Buffer> {
  const typed: number[] = [];
  for await (const chunk of input) {
    for (const byte of chunk as Buffer) {
      if (enter.has(byte)) return Buffer.from(typed);
      if (byte === interrupt) throw interrupted();
      if (byte === endOfInput) throw new UsageError('no password was typed');
      if (erase.has(byte)) eraseCharacter(typed);
      else if (byte === eraseAll) typed.length = 0;
      else if (typed.length < secretBytesMax) typed.push(byte);
    }
  }
  throw new UsageError('no password was typed');
}

/** In raw mode it is a key like any other. */
function interrupted(): StoreError {
  return new StoreError('INTERRUPTED', 'interrupted; nothing was done');
}

/** One character of UTF-8: its continuation bytes and its first. */
function eraseCharacter(typed: number[]): void {
  for (let byte = typed.pop(); byte !== undefined && (byte & 0xc0) === 0x80; byte = typed.pop());
}
