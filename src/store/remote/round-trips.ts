/** How long answers take, smoothed as TCP does. */
const weight = 1 / 8;
const recentMs = 10_000;

export class RoundTrips {
  #ms: number | undefined;
  #measuredAt = -Infinity;

  get ms(): number | undefined {
    return this.#ms;
  }

  get isRecent(): boolean {
    return performance.now() - this.#measuredAt < recentMs;
  }

  measured(ms: number): void {
    this.#measuredAt = performance.now();
    this.#ms = this.#ms === undefined ? ms : this.#ms + (ms - this.#ms) * weight;
  }
}
