/** How many connections there may be, and how many of them from one address. */

const connectionsMax = 2000;
const connectionsPerAddressMax = 256;

export class ConnectionLimits {
  #count = 0;
  readonly #counts = new Map<string, number>();

  constructor(
    private readonly max = connectionsMax,
    private readonly perAddressMax = connectionsPerAddressMax,
  ) {}

  /** Whether there may be one more; then it counts until give(). */
  take(address: string): boolean {
    const count = this.#counts.get(address) ?? 0;
    if (this.#count >= this.max || count >= this.perAddressMax) return false;
    this.#count++;
    this.#counts.set(address, count + 1);
    return true;
  }

  give(address: string): void {
    const count = (this.#counts.get(address) ?? 1) - 1;
    this.#count--;
    if (count === 0) this.#counts.delete(address);
    else this.#counts.set(address, count);
  }
}
