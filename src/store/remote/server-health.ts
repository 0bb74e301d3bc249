/** Whether a server answers, for status reports. */
import type { ServerState } from './server-api.js';

type Health = Pick<ServerState, 'connected' | 'lastError' | 'since' | 'reconnections'>;

export class ServerHealth {
  #connected = false;
  #lastError: string | undefined;
  #since = Date.now();
  #reconnections = 0;

  reached(): void {
    if (!this.#connected && this.#lastError !== undefined) this.#reconnections++;
    this.#change(true, undefined);
  }

  lost(error: string): void {
    this.#change(false, error);
  }

  state(): Health {
    return { connected: this.#connected, lastError: this.#lastError, since: this.#since, reconnections: this.#reconnections };
  }

  #change(connected: boolean, lastError: string | undefined): void {
    if (connected !== this.#connected) this.#since = Date.now();
    this.#connected = connected;
    this.#lastError = lastError;
  }
}
