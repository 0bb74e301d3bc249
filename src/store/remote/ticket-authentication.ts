/** Format: protocol, sections 6.1 to 6.3. Users: a password gives a ticket, and a ticket the next one. */
import { StoreError, codeOf, messageOf } from '../../errors.js';
import type { OpenOptions } from '../open-options.js';
import { encodeSmall, type Authentication } from './authentication.js';
import type { ClientState, Ticket } from './client-state.js';
import { findSecret } from '../../os/credentials.js';

const renewMs = 15 * 60_000;
/** After an attempt that did not reach the server. */
const renewAgainMs = 60_000;
/** The server takes it for ten minutes more. */
const ticketMsMax = 110 * 60_000;

/** Asks the server for a ticket; `password` may be a ticket. LOGIN_FAILED if it is wrong. */
export type LogIn = (user: string, password: string) => Promise<Ticket>;

export class TicketAuthentication implements Authentication {
  readonly #user: string;
  readonly #host: string;
  readonly #options: OpenOptions;
  readonly #state: ClientState;
  readonly #logIn: LogIn;
  /** Found once, for good: a descriptor can be read once, and a command may ask a person. */
  #found: Promise<string | undefined> | undefined;
  /** What a new login takes when the ticket is too old: not known where a remembered ticket was enough. */
  #password: string | undefined;
  #current: { readonly ticket: Ticket; readonly since: number } | undefined;
  /** However many requests wait for it. */
  #pending: Promise<Ticket> | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `host`: as tickets are remembered, without the port. */
  constructor(user: string, host: string, options: OpenOptions, state: ClientState, logIn: LogIn) {
    this.#user = user;
    this.#host = host;
    this.#options = options;
    this.#state = state;
    this.#logIn = logIn;
  }

  async headers(): Promise<Readonly<Record<string, string>>> {
    const current = this.#current;
    if (current !== undefined && Date.now() - current.since < ticketMsMax) return headersOf(current.ticket);
    return headersOf(await this.#once(() => this.#first()));
  }

  async renew(used: Readonly<Record<string, string>>): Promise<boolean> {
    const current = this.#current;
    if (current !== undefined && headersOf(current.ticket)['cookie'] !== used['cookie']) return true;
    if (this.#password === undefined) return false;
    this.#current = undefined;
    await this.#once(() => this.#first());
    return true;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#current = undefined;
    this.#password = undefined;
    this.#found = undefined;
  }

  #once(login: () => Promise<Ticket>): Promise<Ticket> {
    this.#pending ??= login().finally(() => (this.#pending = undefined));
    return this.#pending;
  }

  /** By the password that is known or given, else the remembered ticket, else a person. */
  async #first(): Promise<Ticket> {
    const given = this.#password ?? (await this.#secret());
    if (given !== undefined) return await this.#byPassword(given);
    const remembered = this.#current?.ticket ?? (await this.#remembered());
    if (remembered !== undefined) {
      try {
        return await this.#use(await this.#logIn(this.#user, remembered.ticket));
      } catch (error) {
        if (codeOf(error) !== 'LOGIN_FAILED') throw error;
      }
    }
    const { askPassword } = this.#options;
    if (askPassword === undefined) {
      throw new StoreError('LOGIN_FAILED', `the password of ${this.#user} is missing: set PBS_PASSWORD, PBS_PASSWORD_FILE, PBS_PASSWORD_FD or PBS_PASSWORD_CMD, or log in with 'pbsfs login'`);
    }
    return await this.#byPassword(await askPassword(this.#user));
  }

  #secret(): Promise<string | undefined> {
    this.#found ??= findSecret(this.#options.environment, 'PBS_PASSWORD', 'password');
    this.#found.catch(() => (this.#found = undefined));
    return this.#found;
  }

  /** A wrong one is asked for again, where a person typed it. */
  async #byPassword(password: string): Promise<Ticket> {
    this.#password = password;
    try {
      return await this.#use(await this.#logIn(this.#user, password));
    } catch (error) {
      if (codeOf(error) === 'LOGIN_FAILED') this.#password = undefined;
      throw error;
    }
  }

  async #remembered(): Promise<Ticket | undefined> {
    try {
      return await this.#state.ticketOf(this.#host, this.#user);
    } catch {
      return undefined;
    }
  }

  async #use(ticket: Ticket): Promise<Ticket> {
    this.#current = { ticket, since: Date.now() };
    this.#renewIn(renewMs);
    try {
      await this.#state.rememberTicket(this.#host, this.#user, ticket);
    } catch (error) {
      this.#options.warn(`the ticket of ${this.#user} can not be remembered: ${messageOf(error)}`);
    }
    return ticket;
  }

  #renewIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#renewByTicket(), ms).unref();
  }

  /** What fails here is tried again: by time while the server can't be reached, by the next request otherwise. */
  async #renewByTicket(): Promise<void> {
    const current = this.#current;
    if (current === undefined) return;
    try {
      await this.#once(async () => this.#use(await this.#logIn(this.#user, current.ticket.ticket)));
    } catch (error) {
      if (codeOf(error) !== 'LOGIN_FAILED') this.#renewIn(renewAgainMs);
    }
  }
}

function headersOf({ ticket, token }: Ticket): Readonly<Record<string, string>> {
  return { cookie: `PBSAuthCookie=${encodeSmall(ticket)}`, csrfpreventiontoken: token };
}
