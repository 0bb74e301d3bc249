/** How long answers take, smoothed as TCP does. */
const weight = 1 / 8;

export class RoundTrips {
  #ms: number | undefined;

  get ms(): number | undefined {
    return this.#ms;
  }

  measured(ms: number): void {
    this.#ms = this.#ms === undefined ? ms : this.#ms + (ms - this.#ms) * weight;
  }
}
