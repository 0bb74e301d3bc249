/**
 * What a long command tells while it works: a line that moves on a terminal, lines of a log elsewhere, an event a line with --json. People's
 * lines go to standard error, events to standard output.
 */
import type { MultiBar, SingleBar } from 'cli-progress';
import { stderrLog } from '../mount/log.js';
import { durationText, sizeText } from './text.js';

export interface ProgressFigures {
  readonly bytes: number;
  /** Undefined where it can't be known ahead. */
  readonly bytesTotal?: number | undefined;
  readonly bytesReused?: number;
}

export interface ProgressReport {
  log(line: string): void;
  warn(line: string): void;
  progress(name: string, figures: ProgressFigures): void;
  /** Something that programs want to know; people are told by log(). */
  event(name: string, facts: object): void;
  end(): void;
}

const eventEveryMs = 1000;
const lineEveryMs = 30_000;
const barBytesMin = 1;

export async function openProgress({ json }: { readonly json: boolean }): Promise<ProgressReport> {
  if (json) return new EventReport();
  return process.stderr.isTTY ? await TerminalReport.open() : new LineReport();
}

/** `{"event":"progress","name":"etc.pxar","bytes":1,"bytesTotal":2,"bytesReused":0}`: at most one a second for each name. */
class EventReport implements ProgressReport {
  readonly #due = new Due(eventEveryMs);

  log(message: string): void {
    this.event('log', { message });
  }

  warn(message: string): void {
    this.event('warning', { message });
  }

  progress(name: string, figures: ProgressFigures): void {
    if (this.#due.now(name)) this.event('progress', { name, ...figures });
  }

  event(name: string, facts: object): void {
    process.stdout.write(`${JSON.stringify({ event: name, ...facts })}\n`);
  }

  end(): void {
    // Every event has been written.
  }
}

class LineReport implements ProgressReport {
  readonly #write = stderrLog(() => '');
  readonly #due = new Due(lineEveryMs);

  log(line: string): void {
    this.#write(line);
  }

  warn(line: string): void {
    this.#write(`warning: ${line}`);
  }

  progress(name: string, figures: ProgressFigures): void {
    if (this.#due.now(name)) this.#write(`${name}: ${figuresText(figures)}`);
  }

  event(): void {
    // For programs only.
  }

  end(): void {
    // Every line has been written.
  }
}

class TerminalReport implements ProgressReport {
  readonly #bars: MultiBar;
  readonly #begun = new Map<string, { readonly bar: SingleBar; readonly ms: number }>();

  private constructor(bars: MultiBar) {
    this.#bars = bars;
  }

  static async open(): Promise<TerminalReport> {
    const { default: progress } = await import('cli-progress');
    const options = { clearOnComplete: true, hideCursor: null, linewrap: null, gracefulExit: false, emptyOnZero: true, barsize: 20, stream: process.stderr };
    return new TerminalReport(new progress.MultiBar({ ...options, format: '{name} [{bar}] {text}' }));
  }

  log(line: string): void {
    if (this.#begun.size === 0) process.stderr.write(`${line}\n`);
    else this.#bars.log(`${line}\n`);
  }

  warn(line: string): void {
    this.log(`warning: ${line}`);
  }

  progress(name: string, figures: ProgressFigures): void {
    let begun = this.#begun.get(name);
    if (begun === undefined) {
      for (const { bar } of this.#begun.values()) this.#bars.remove(bar);
      this.#begun.clear();
      begun = { ms: Date.now(), bar: this.#bars.create(barBytesMin, 0, { name, text: '' }) };
      this.#begun.set(name, begun);
    }
    begun.bar.setTotal(Math.max(figures.bytesTotal ?? 0, barBytesMin));
    begun.bar.update(figures.bytesTotal === undefined ? 0 : figures.bytes, { text: movingText(figures, (Date.now() - begun.ms) / 1000) });
  }

  event(): void {
    // For programs only.
  }

  end(): void {
    this.#bars.stop();
  }
}

/** Tells for each name whether so many milliseconds have gone by. */
class Due {
  readonly #everyMs: number;
  readonly #last = new Map<string, number>();

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  now(name: string): boolean {
    const now = Date.now();
    const last = this.#last.get(name);
    if (last === undefined) this.#last.set(name, now);
    if (last === undefined || now - last < this.#everyMs) return false;
    this.#last.set(name, now);
    return true;
  }
}

/** `1.2 GiB of 4.0 GiB, 512.0 MiB reused`. */
function figuresText({ bytes, bytesTotal, bytesReused = 0 }: ProgressFigures): string {
  const whole = bytesTotal === undefined ? sizeText(bytes) : `${sizeText(bytes)} of ${sizeText(bytesTotal)}`;
  return bytesReused === 0 ? whole : `${whole}, ${sizeText(bytesReused)} reused`;
}

function movingText(figures: ProgressFigures, seconds: number): string {
  const rate = seconds > 0 ? figures.bytes / seconds : 0;
  const eta = figures.bytesTotal === undefined || rate === 0 ? '' : `, ETA ${durationText(Math.max(figures.bytesTotal - figures.bytes, 0) / rate)}`;
  return `${figuresText(figures)}, ${sizeText(rate)}/s${eta}`;
}
