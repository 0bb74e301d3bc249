/** Format: protocol, section 3. The files in which clients of a server remember fingerprints and tickets; they are shared with other programs. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf } from '../../errors.js';
import type { JsonValue } from '../../format/json.js';
import { parseJson, writeJson } from '../../format/json.js';

const folder = 'proxmox-backup';
const stateBytesMax = 1 << 20;
/** Two minutes less than the server accepts it for. */
const ticketSecondsMax = 7140;
const onlyOwner = 0o700;

export interface Ticket {
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly ticket: string;
  /** For the CSRFPreventionToken header. */
  readonly token: string;
}

type Tickets = Record<string, Record<string, Ticket>>;

export class ClientState {
  readonly #environment: NodeJS.ProcessEnv;

  constructor(environment: NodeJS.ProcessEnv) {
    this.#environment = environment;
  }

  /** Undefined without a home. */
  get fingerprintsPath(): string | undefined {
    const { XDG_CONFIG_HOME: config, HOME: home } = this.#environment;
    if (config !== undefined && config.startsWith('/')) return join(config, folder, 'fingerprints');
    return home === undefined || home === '' ? undefined : join(home, '.config', folder, 'fingerprints');
  }

  /** Hosts are told apart without their ports. */
  async fingerprintOf(host: string): Promise<string | undefined> {
    const path = this.fingerprintsPath;
    if (path === undefined) return undefined;
    return fingerprintLines(await readState(path)).findLast(([name]) => name === host)?.[1];
  }

  async rememberFingerprint(host: string, fingerprint: string): Promise<void> {
    const path = this.fingerprintsPath;
    if (path === undefined) return;
    const others = fingerprintLines(await readState(path)).filter(([name]) => name !== host);
    await replaceFile(path, [...others, [host, fingerprint]].map((fields) => `${fields.join(' ')}\n`).join(''));
  }

  async ticketOf(host: string, user: string): Promise<Ticket | undefined> {
    const path = await this.#ticketsPath();
    return path === undefined ? undefined : (await readTickets(path))[host]?.[user];
  }

  async rememberTicket(host: string, user: string, ticket: Ticket): Promise<void> {
    const path = await this.#ticketsPath();
    if (path === undefined) return;
    const tickets = await readTickets(path);
    tickets[host] = { ...tickets[host], [user]: ticket };
    await replaceFile(path, writeJson(tickets as unknown as JsonValue));
  }

  /** False if there was none. */
  async forgetTicket(host: string, user: string): Promise<boolean> {
    const path = await this.#ticketsPath();
    if (path === undefined) return false;
    const tickets = await readTickets(path);
    if (tickets[host]?.[user] === undefined) return false;
    tickets[host] = Object.fromEntries(Object.entries(tickets[host]).filter(([name]) => name !== user));
    await replaceFile(path, writeJson(tickets as unknown as JsonValue));
    return true;
  }

  /** Undefined where tickets are not kept: only in a directory that nobody else can look into. */
  async #ticketsPath(): Promise<string | undefined> {
    const { XDG_RUNTIME_DIR: runtime } = this.#environment;
    if (runtime === undefined || !runtime.startsWith('/')) return undefined;
    try {
      const facts = await stat(runtime);
      return facts.isDirectory() && (facts.mode & 0o777) === onlyOwner ? join(runtime, folder, 'tickets') : undefined;
    } catch {
      return undefined;
    }
  }
}

/** What has another form than `host fingerprint` is no line of ours and is dropped, as all clients do. */
function fingerprintLines(text: string): [string, string][] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields): fields is [string, string] => fields.length === 2);
}

/** Without the ones that are too old; none if the file is no such file. */
async function readTickets(path: string): Promise<Tickets> {
  const tickets: Tickets = {};
  const text = await readState(path);
  const oldest = Date.now() / 1000 - ticketSecondsMax;
  for (const [host, users] of Object.entries(objectOf(text === '' ? '{}' : text))) {
    const valid = Object.entries(objectOf(users)).filter((entry): entry is [string, Ticket] => isTicket(entry[1]) && entry[1].timestamp >= oldest);
    tickets[host] = Object.fromEntries(valid);
  }
  return tickets;
}

function objectOf(value: unknown): Record<string, unknown> {
  try {
    const parsed = typeof value === 'string' ? parseJson(value, 'tickets', stateBytesMax) : value;
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function isTicket(value: unknown): value is Ticket {
  const { timestamp, ticket, token } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Record<keyof Ticket, unknown>>;
  return typeof timestamp === 'number' && typeof ticket === 'string' && typeof token === 'string';
}

/** Empty if there is none. */
async function readState(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > stateBytesMax) return '';
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return '';
    throw error;
  }
}

/** Never half-written, and for the owner only. */
async function replaceFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: onlyOwner });
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    await handle.writeFile(text).finally(() => handle.close());
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
