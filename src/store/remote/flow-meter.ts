/**
 * How many bytes should be under way at once: what the way to the server holds at the speed that it was seen to have, and no more than come
 * in time, as who asked for the last of them waits for all.
 */

const bytesMin = 32 << 20;
/** Before anything was measured. */
const bytesFirst = 8 << 20;
/** A chunk of an image. */
const bytesLeast = 4 << 20;
/** Of the time that there is, as no link is always as fast as it was. */
const timeShare = 1 / 4;
const bytesMax = 128 << 20;
/** Of what was measured before, when a new measurement comes. */
const keptShare = 0.75;
const measureMs = 250;
/** Servers need time too, and answers come in bursts. */
const reserve = 3;

export class FlowMeter {
  #underWay = 0;
  #sinceMs = 0;
  #bytes = 0;
  #bytesPerMs = 0;
  readonly #inTimeMs: number;

  /** `timeoutMs`: after which who waits for a chunk gives up. */
  constructor(timeoutMs: number) {
    this.#inTimeMs = timeoutMs * timeShare;
  }

  begin(): void {
    if (this.#underWay++ === 0) this.#restart();
  }

  end(bytes: number): void {
    this.#underWay--;
    this.#bytes += bytes;
    const ms = performance.now() - this.#sinceMs;
    if (ms < measureMs) return;
    const measured = this.#bytes / ms;
    this.#bytesPerMs = this.#bytesPerMs === 0 ? measured : this.#bytesPerMs * keptShare + measured * (1 - keptShare);
    this.#restart();
  }

  bytesInFlightMax(roundTripMs: number | undefined): number {
    if (this.#bytesPerMs === 0) return bytesFirst;
    const held = this.#bytesPerMs * (roundTripMs ?? 0) * reserve;
    const inTime = Math.max(this.#bytesPerMs * this.#inTimeMs, bytesLeast);
    return Math.round(Math.min(Math.max(held, bytesMin), bytesMax, inTime));
  }

  #restart(): void {
    this.#sinceMs = performance.now();
    this.#bytes = 0;
  }
}
