/** Format: protocol, section 4. Whether a certificate that no authority vouches for is the server's. */
import { formatFingerprint, parseFingerprint } from '../../format/fingerprint.js';
import { StoreError, UsageError, messageOf } from '../../errors.js';
import type { OpenOptions } from '../open-options.js';
import type { ClientState } from './client-state.js';
import { plainSetting } from '../../os/credentials.js';

interface Decision {
  readonly fingerprint: string;
  /** A person has just made it. */
  readonly isNew: boolean;
}

export class Trust {
  readonly #host: string;
  readonly #options: OpenOptions;
  readonly #state: ClientState;
  /** One person is asked once, however many connections wait for it. */
  #decision: Promise<Decision> | undefined;
  /** That the remembered fingerprints can't be read. */
  #isTold = false;

  /** `host`: without its port, as fingerprints are remembered. */
  constructor(host: string, options: OpenOptions, state: ClientState) {
    this.#host = host;
    this.#options = options;
    this.#state = state;
  }

  /** The fingerprint that was given, else the one that is remembered. USAGE for one that is none. */
  async known(): Promise<string | undefined> {
    return (await this.#given()) ?? (await this.#remembered());
  }

  /** UNTRUSTED unless `digest`, the SHA-256 of the certificate, is what was given or remembered. True if a person was asked. */
  async check(digest: Buffer): Promise<boolean> {
    const seen = formatFingerprint(digest);
    const given = await this.#given();
    if (given !== undefined) {
      if (given === seen) return false;
      throw new StoreError('UNTRUSTED', `the certificate of ${this.#host} is not the expected one: its fingerprint is ${seen}, and ${given} was given`);
    }
    this.#decision ??= this.#decide(seen);
    this.#decision.catch(() => (this.#decision = undefined));
    const { fingerprint, isNew } = await this.#decision;
    if (fingerprint !== seen) {
      throw new StoreError(
        'UNTRUSTED',
        `the certificate of ${this.#host} is another one than before: its fingerprint is ${seen}, and ${fingerprint} is remembered in ` +
          `${this.#state.fingerprintsPath ?? 'no file'}; if the server has a new certificate, give --fingerprint ${seen} or remove the line`,
      );
    }
    return isNew;
  }

  /** By an option or the environment. */
  async #given(): Promise<string | undefined> {
    const text = this.#options.fingerprint ?? (await plainSetting(this.#options.environment, 'PBS_FINGERPRINT', 'fingerprint'));
    if (text === undefined || text === '') return undefined;
    try {
      return formatFingerprint(parseFingerprint(text));
    } catch (cause) {
      throw new UsageError(`the fingerprint of ${this.#host}: ${messageOf(cause)}`, { cause });
    }
  }

  /** What is remembered, or what a person says yes to. */
  async #decide(seen: string): Promise<Decision> {
    const remembered = await this.#remembered();
    if (remembered !== undefined) return { fingerprint: remembered, isNew: false };
    const { confirmFingerprint } = this.#options;
    if (confirmFingerprint === undefined) {
      throw new StoreError(
        'UNTRUSTED',
        `the certificate of ${this.#host} is not known; if its fingerprint ${seen} is the one that the server shows, set PBS_FINGERPRINT or give --fingerprint with it`,
      );
    }
    if (!(await confirmFingerprint(this.#host, seen))) throw new StoreError('UNTRUSTED', `the certificate of ${this.#host} was not accepted`);
    await this.#remember(seen);
    // From now on it is known.
    this.#decision = Promise.resolve({ fingerprint: seen, isNew: false });
    return { fingerprint: seen, isNew: true };
  }

  /** A file that can't be read says nothing; the certificate may need none. */
  async #remembered(): Promise<string | undefined> {
    try {
      return (await this.#state.fingerprintOf(this.#host))?.toLowerCase();
    } catch (error) {
      if (!this.#isTold) this.#options.warn(`the fingerprints that are remembered can't be read: ${messageOf(error)}`);
      this.#isTold = true;
      return undefined;
    }
  }

  /** A home that can't be written costs only the question next time. */
  async #remember(seen: string): Promise<void> {
    try {
      await this.#state.rememberFingerprint(this.#host, seen);
    } catch (error) {
      this.#options.warn(`the fingerprint of ${this.#host} can not be remembered: ${messageOf(error)}`);
    }
  }
}
