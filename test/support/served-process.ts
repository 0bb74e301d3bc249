/** `pbsfs serve` in a process of its own: what a mount in this one asks for, this one could not answer while it waits for the mount. */
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { hashSecret } from '../../src/server/access/secret-hash.js';
import { selfSignedCertificate, type Certificate } from './certificate.js';
import { program, start, type Running } from './command.js';
import { scratchDirectory } from './scratch.js';

export const password = 'Geheim!';
/** Its name on every server here. */
export const servedName = 'store1';
/** May everything, and owns new groups as a local backup of root does. */
export const servedUser = 'root@pam';

interface Files {
  readonly certificate: Certificate;
  readonly args: readonly string[];
  readonly ticketKey: string;
}

let files: Promise<Files> | undefined;
const processes: ServedProcess[] = [];
// Here, as a hook that a running test adds would not be called.
afterAll(async () => {
  await Promise.all(processes.splice(0).map((served) => served.kill()));
});

async function makeFiles(): Promise<Files> {
  const directory = scratchDirectory();
  const certificate = selfSignedCertificate();
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    chmodSync(join(directory, name), 0o600);
    return join(directory, name);
  };
  const users = file('users.json', JSON.stringify({ version: 1, users: { [servedUser]: { password: await hashSecret(password) } } }));
  const args = ['--users', users, '--cert', file('cert.pem', certificate.cert), '--key', file('key.pem', certificate.key)];
  return { certificate, args, ticketKey: join(directory, 'ticket.key') };
}

export class ServedProcess {
  readonly port: number;
  readonly fingerprint: string;
  readonly #store: string;
  readonly #files: Files;
  #running: Running;

  private constructor(store: string, made: Files, running: Running) {
    this.#store = store;
    this.#files = made;
    this.#running = running;
    this.port = Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(running.text())?.[1]);
    this.fingerprint = made.certificate.fingerprint;
  }

  /** Of the datastore in a directory; ends with the test file. This process and its children can open it. */
  static async start(store: string): Promise<ServedProcess> {
    const made = await (files ??= makeFiles());
    const served = new ServedProcess(store, made, await serve(store, made, 0));
    processes.push(served);
    Object.assign(process.env, { PBS_PASSWORD: password, PBS_FINGERPRINT: served.fingerprint, XDG_RUNTIME_DIR: '' });
    return served;
  }

  /** Through whatever listens at `port`. */
  repository(port = this.port): string {
    return `${servedUser}@127.0.0.1:${port}:${servedName}`;
  }

  text(): string {
    return this.#running.text();
  }

  /** Without a word to anybody. */
  async kill(): Promise<void> {
    this.#running.child.kill('SIGKILL');
    await this.#running.exited;
  }

  /** At the same port. With new ticket keys all logins are over. */
  async again({ newTickets = false } = {}): Promise<void> {
    await this.kill();
    if (newTickets) rmSync(this.#files.ticketKey);
    this.#running = await serve(this.#store, this.#files, this.port);
  }
}

async function serve(store: string, { args }: Files, port: number): Promise<Running> {
  const running = start(process.execPath, [program, 'serve', '--store', `${servedName}=${store}`, '--listen', `127.0.0.1:${port}`, ...args]);
  await running.wrote(/fingerprint of its/);
  return running;
}
