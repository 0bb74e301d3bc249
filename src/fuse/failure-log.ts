/** Logs what should not happen: each different line once, and not without end. */
import { PbsfsError } from '../errors.js';
import { opcodeName } from './wire/opcode.js';

const linesMax = 100;

export class FailureLog {
  readonly #log: (line: string) => void;
  readonly #logged = new Set<string>();

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  /** A file system refuses with our errors and those of the system, and speaks of those itself; anything else is a fault. */
  thrown(opcode: number, error: unknown): void {
    if (error instanceof PbsfsError || isSystemError(error)) return;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.line(`${opcodeName(opcode)} failed unexpectedly: ${text}`);
  }

  line(line: string): void {
    if (this.#logged.size >= linesMax || this.#logged.has(line)) return;
    this.#logged.add(line);
    this.#log(line);
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).errno === 'number';
}
