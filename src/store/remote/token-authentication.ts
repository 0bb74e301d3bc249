/** Format: protocol, section 6.4. API tokens: the secret goes with every request. */
import { StoreError } from '../../errors.js';
import type { OpenOptions } from '../open-options.js';
import { encodeSmall, type Authentication } from './authentication.js';
import { findSecret } from '../../os/credentials.js';

export class TokenAuthentication implements Authentication {
  readonly #authId: string;
  readonly #options: OpenOptions;
  #headers: Promise<Readonly<Record<string, string>>> | undefined;

  constructor(authId: string, options: OpenOptions) {
    this.#authId = authId;
    this.#options = options;
  }

  async headers(): Promise<Readonly<Record<string, string>>> {
    return await (this.#headers ??= this.#read());
  }

  renew(): Promise<boolean> {
    return Promise.resolve(false);
  }

  close(): void {
    this.#headers = undefined;
  }

  async #read(): Promise<Readonly<Record<string, string>>> {
    const secret = await findSecret(this.#options.environment, 'PBS_PASSWORD', 'password');
    if (secret === undefined) {
      throw new StoreError('LOGIN_FAILED', `the secret of the API token ${this.#authId} is missing: set PBS_PASSWORD, PBS_PASSWORD_FILE, PBS_PASSWORD_FD or PBS_PASSWORD_CMD`);
    }
    return { authorization: `PBSAPIToken ${this.#authId}:${encodeSmall(secret)}` };
  }
}
