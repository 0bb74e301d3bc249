/** Who sent a request. Format: protocol, section 6. */
import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { codeOf } from '../../errors.js';
import { parseAuthId } from '../../format/auth-id.js';
import type { Caller } from '../caller.js';
import { Refusal } from '../refusal.js';
import { FailedLogins } from './failed-logins.js';
import { callerOf } from './known-caller.js';
import { verifySecret } from './secret-hash.js';
import { ticketPrefix, type Tickets } from './tickets.js';
import type { UserSource } from './users.js';

export const authenticationFailed = 'authentication failed';

export interface Credentials {
  readonly method: string;
  /** Every value of the header. */
  readonly cookies: readonly string[];
  readonly authorization: string | undefined;
  readonly csrfToken: string | undefined;
  readonly address: string;
}

export interface Login {
  readonly username: string;
  readonly password: string;
  readonly address: string;
}

export interface GrantedLogin {
  readonly username: string;
  readonly ticket: string;
  readonly csrfToken: string;
}

/** The better one first. */
const cookieNames = ['__Host-PBSAuthCookie', 'PBSAuthCookie'];
const verifiedTokensMax = 1000;
const cookieBytesMax = 8192;

export class Authenticator {
  /** Keys of tokens whose secret was right. They hold the hash that it was compared with. */
  readonly #verified = new LRUCache<string, true>({ max: verifiedTokensMax });
  /** By the same keys: a client that begins with many requests at once. */
  readonly #verifying = new Map<string, Promise<boolean>>();
  readonly #cacheKey = randomBytes(32);

  constructor(
    private readonly users: UserSource,
    private readonly tickets: Tickets,
    private readonly failedLogins = new FailedLogins(),
  ) {}

  /** 401 for missing and for wrong credentials alike; 429. */
  async authenticate(credentials: Credentials): Promise<Caller> {
    const ticket = cookieOf(credentials.cookies);
    if (ticket !== undefined) return await this.#byTicket(ticket, credentials);
    if (credentials.authorization !== undefined) return await this.#byToken(credentials.authorization, credentials.address);
    throw new Refusal(401, authenticationFailed);
  }

  /** By password, or by a ticket in its place. 401, 429; 400 where no login can be meant. */
  async login({ username, password, address }: Login): Promise<GrantedLogin> {
    if (password === '') throw new Refusal(400, 'the password is missing');
    checkUserId(username);
    const record = (await this.users.current()).get(username);
    const isRight = password.startsWith(ticketPrefix)
      ? this.#isTicketOf(password, username, record?.password)
      : await this.failedLogins.attempt(address, (check) => verifySecret(password, record?.password, check));
    if (!isRight || record?.password === undefined) refuse();
    return { username, ticket: this.tickets.ticket(username, record.password), csrfToken: this.tickets.csrfToken(username) };
  }

  async #byTicket(text: string, { method, csrfToken, address }: Credentials): Promise<Caller> {
    const users = await this.users.current();
    const userId = this.tickets.open(text)?.userId ?? '';
    if (!this.#isTicketOf(text, userId, users.get(userId)?.password)) refuse();
    if (method !== 'GET' && (csrfToken === undefined || !this.tickets.isCsrfToken(csrfToken, userId))) refuse();
    return callerOf(users, { user: userId, token: undefined }, address);
  }

  #isTicketOf(text: string, userId: string, passwordHash: string | undefined): boolean {
    const ticket = this.tickets.open(text);
    return ticket?.userId === userId && passwordHash !== undefined && this.tickets.isValid(ticket, passwordHash);
  }

  /** Ids have no spaces: a pattern that took them for either part would try all ways to share them out. */
  async #byToken(authorization: string, address: string): Promise<Caller> {
    const [, id = '', encoded = ''] = /^PBSAPIToken[ =]\s*([^\s:]*):(.*)$/s.exec(authorization) ?? [];
    const [authId, secret] = [authIdOf(id), percentDecoded(encoded)];
    if (authId?.token === undefined || secret === undefined) refuse();
    const users = await this.users.current();
    const kept = users.get(authId.user)?.tokens.get(authId.token)?.secret;
    if (!(await this.#isSecret(id, secret, kept, address))) refuse();
    return callerOf(users, authId, address);
  }

  /** Hashing costs 50 ms, so what was right once is remembered by a key that tells nothing of it. */
  async #isSecret(id: string, secret: string, kept: string | undefined, address: string): Promise<boolean> {
    const key = createHmac('sha256', this.#cacheKey).update([id, kept ?? '', secret].join('\0')).digest('base64');
    if (this.#verified.get(key) === true) return true;
    const verifying = this.#verifying.get(key) ?? this.failedLogins.attempt(address, (check) => verifySecret(secret, kept, check)).finally(() => this.#verifying.delete(key));
    this.#verifying.set(key, verifying);
    const isRight = await verifying;
    if (isRight) this.#verified.set(key, true);
    return isRight;
  }
}

function refuse(): never {
  throw new Refusal(401, authenticationFailed);
}

function checkUserId(username: string): void {
  if (authIdOf(username)?.token !== undefined) throw new Refusal(400, 'an API token needs no login; send it with every request');
  if (authIdOf(username) === undefined) throw new Refusal(400, "the username is not one like 'backup@pbs'");
}

function authIdOf(text: string): { user: string; token: string | undefined } | undefined {
  try {
    return parseAuthId(text);
  } catch (error) {
    if (codeOf(error) === 'BAD_NAME') return undefined;
    throw error;
  }
}

function cookieOf(headers: readonly string[]): string | undefined {
  const text = headers.join(';').slice(0, cookieBytesMax);
  const pairs = text.split(';').map((pair) => pair.trim());
  const found = cookieNames.map((name) => pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1));
  const value = found.find((each) => each !== undefined && each !== '');
  return value === undefined ? undefined : (percentDecoded(value) ?? '');
}

/** Undefined if it is none. */
function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
