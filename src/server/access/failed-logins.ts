/** How often addresses may be wrong. */
import { LRUCache } from 'lru-cache';
import { Refusal } from '../refusal.js';

const failuresMax = 30;
const windowMs = 60_000;
const addressesMax = 10_000;

export class FailedLogins {
  readonly #failures = new LRUCache<string, { count: number }>({ max: addressesMax, ttl: windowMs });

  constructor(private readonly failuresPerAddressMax = failuresMax) {}

  /** 429 for an address that was wrong too often within a minute, whoever it says it is. */
  check(address: string): void {
    if ((this.#failures.get(address)?.count ?? 0) >= this.failuresPerAddressMax) {
      throw new Refusal(429, 'too many failed logins from your address; try again in a minute');
    }
  }

  add(address: string): void {
    const entry = this.#failures.get(address);
    if (entry === undefined) this.#failures.set(address, { count: 1 });
    else entry.count++;
  }
}
