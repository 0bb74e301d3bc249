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
   * Runs `verify`, which calls its argument when its turn has come, so that many at once are no way around the limit. 429 for an address
   * that was wrong too often within a minute, whoever it says it is.
   */
  async attempt(address: string, verify: (check: () => void) => Promise<boolean>): Promise<boolean> {
    const check = (): void => {
      if ((this.#failures.get(address)?.count ?? 0) >= this.failuresPerAddressMax) {
        throw new Refusal(429, 'too many failed logins from your address; try again in a minute');
      }
    };
    check();
    const isRight = await verify(check);
    if (!isRight) this.#add(address);
    return isRight;
  }

  #add(address: string): void {
    const entry = this.#failures.get(address);
    if (entry === undefined) this.#failures.set(address, { count: 1 });
    else entry.count++;
  }
}
