/** What a client is told that asks for what it can't have: a status, and a plain text. Format: protocol, section 5.2. */

/** From the start of the request: guessing costs time. Format: protocol, section 5.2. */
export const unauthorizedDelayMs = 3000;
/** Of a 403 of calls whose rights are checked before anything else. */
export const forbiddenDelayMs = 500;

export type RefusalStatus = 400 | 401 | 403 | 404 | 405 | 408 | 413 | 414 | 429 | 501 | 503;

export interface RefusalOptions {
  readonly cause?: unknown;
  /** The answer leaves so long after the request's start, or later. */
  readonly delayMs?: number;
}

export class Refusal extends Error {
  readonly delayMs: number;

  constructor(
    readonly status: RefusalStatus,
    message: string,
    options: RefusalOptions = {},
  ) {
    super(message, options);
    this.name = 'Refusal';
    this.delayMs = options.delayMs ?? (status === 401 ? unauthorizedDelayMs : 0);
  }
}
