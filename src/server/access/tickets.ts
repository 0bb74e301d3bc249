/** Tickets: proof of a login for two hours, and what goes with them against requests that other sites make a browser send. Format: protocol, sections 6.2 and 6.3. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { codeOf } from '../../errors.js';
import { readPrivateFile, writePrivateFile } from './users-file.js';

const keyBytes = 32;
const keyFileBytesMax = 4096;
/** Clocks of two servers with the same key may differ. */
const ageMinS = -300;
const ageMaxS = 7200;
const ticketLengthMax = 1024;

export const ticketPrefix = 'PBS:';

export interface OpenTicket {
  readonly userId: string;
  readonly time: number;
  readonly text: string;
}

/** The key in a file that is made if it is missing. NO_PERMISSION. */
export async function readTicketKey(path: string): Promise<Buffer> {
  try {
    const text = (await readPrivateFile(path, 'the key of tickets', keyFileBytesMax)).toString('latin1').trim();
    if (/^[0-9a-f]{64}$/.test(text)) return Buffer.from(text, 'hex');
    throw new Error(`${path} is no key of tickets: remove it, and a new one is made`);
  } catch (error) {
    if (codeOf(error) !== 'NOT_FOUND') throw error;
  }
  const key = randomBytes(keyBytes);
  await writePrivateFile(path, Buffer.from(`${key.toString('hex')}\n`));
  return key;
}

export class Tickets {
  constructor(
    private readonly key: Buffer,
    private readonly now: () => number = () => Math.floor(Date.now() / 1000),
  ) {}

  /** `passwordHash`: with another password all tickets end. */
  ticket(userId: string, passwordHash: string): string {
    const time = hexTime(this.now());
    return `${ticketPrefix}${escape(userId)}:${time}::${this.#sign('ticket', time, userId, passwordHash)}`;
  }

  /** Who a ticket says it is from, if it has the form and the age of one. The signature is checked by isValid(). */
  open(text: string): OpenTicket | undefined {
    if (text.length > ticketLengthMax) return undefined;
    const [, escaped = '', time = ''] = /^PBS:([^:]+):([0-9A-F]{8,9})::[A-Za-z0-9+/]{43}$/.exec(text) ?? [];
    const userId = unescape(escaped);
    if (userId === undefined || time === '' || !this.#isFresh(time)) return undefined;
    return { userId, time: Number.parseInt(time, 16), text };
  }

  isValid({ userId, time, text }: OpenTicket, passwordHash: string): boolean {
    return equal(text.slice(text.lastIndexOf(':') + 1), this.#sign('ticket', hexTime(time), userId, passwordHash));
  }

  csrfToken(userId: string): string {
    const time = hexTime(this.now());
    return `${time}:${this.#sign('csrf', time, userId)}`;
  }

  isCsrfToken(text: string, userId: string): boolean {
    const [, time = '', signature = ''] = /^([0-9A-F]{8,9}):([A-Za-z0-9+/]{43})$/.exec(text) ?? [];
    return time !== '' && this.#isFresh(time) && equal(signature, this.#sign('csrf', time, userId));
  }

  #isFresh(time: string): boolean {
    const age = this.now() - Number.parseInt(time, 16);
    return age >= ageMinS && age <= ageMaxS;
  }

  #sign(...parts: readonly string[]): string {
    return createHmac('sha256', this.key).update(parts.join('\0')).digest('base64').replace(/=+$/, '');
  }
}

function hexTime(seconds: number): string {
  return seconds.toString(16).toUpperCase().padStart(8, '0');
}

/** `%`, `:`, controls and what is not ASCII. */
function escape(userId: string): string {
  return [...Buffer.from(userId)].map((byte) => (byte <= 0x20 || byte >= 0x7f || byte === 0x25 || byte === 0x3a ? `%${byte.toString(16).toUpperCase().padStart(2, '0')}` : String.fromCharCode(byte))).join('');
}

function unescape(text: string): string | undefined {
  try {
    return text === '' ? undefined : decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** In a time that tells nothing of what differs. */
export function equal(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
