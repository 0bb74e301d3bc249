/** How often addresses may be wrong. */
import { LRUCache } from 'lru-cache';
import { Refusal } from '../refusal.js';

const failuresMax = 30;
const windowMs = 60_000;
const addressesMax = 10_000;

export class FailedLogins {
  readonly #failures = new LRUCache<string, { count: number }>({ max: addressesMax, ttl: windowMs });

  constructor(private readonly failuresPerAddressMax = failuresMax) {}

  /**
   * Runs `verify` for an address, which counts as wrong until it was right, so that many at once are no way around the limit. 429 for an
   * address that was wrong too often within a minute, whoever it says it is.
   */
  async attempt(address: string, verify: () => Promise<boolean>): Promise<boolean> {
    const entry = this.#failures.get(address) ?? { count: 0 };
    if (entry.count >= this.failuresPerAddressMax) throw new Refusal(429, 'too many failed logins from your address; try again in a minute');
    if (entry.count++ === 0) this.#failures.set(address, entry);
    const isRight = await verify();
    if (isRight) entry.count--;
    return isRight;
  }
}
