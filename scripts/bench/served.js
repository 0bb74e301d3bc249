/** Datastores behind `pbsfs serve` on loopback, near or far away. */
import { fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { program } from './mount.js';

const delayProgram = fileURLToPath(new URL('./delay-program.js', import.meta.url));
const user = 'bench@pbs';
const password = 'only for measurements';
const startMsMax = 20_000;

export class ServedStore {
  /** @type {import('node:child_process').ChildProcess} */
  #child;
  /** @type {string} */
  #directory;
  #end = () => {
    this.#child.kill();
  };

  /** @param {import('node:child_process').ChildProcess} child @param {string} directory @param {number} port */
  constructor(child, directory, port) {
    this.#child = child;
    this.#directory = directory;
    this.port = port;
    process.once('exit', this.#end);
  }

  /** Starts a server; commands of this process find its password and fingerprint in their environment. @param {string} path of the store @param {string} directory for its files */
  static async start(path, directory) {
    const own = mkdtempSync(join(directory, 'server-'));
    const users = join(own, 'users.json');
    const passwordFile = join(own, 'password');
    writeFileSync(passwordFile, password, { mode: 0o600 });
    succeed(['user', 'add', user, '--password-file', passwordFile, '--users', users]);
    succeed(['user', 'role', user, '/datastore/bench', 'DatastoreAdmin', '--users', users]);
    const port = await freePort();
    const child = spawn(process.execPath, [program, 'serve', '--store', `bench=${path}`, '--listen', `127.0.0.1:${port}`, '--users', users], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const served = new ServedStore(child, own, port);
    process.env['PBS_PASSWORD'] = password;
    process.env['PBS_FINGERPRINT'] = await fingerprintOf(child);
    return served;
  }

  /** @param {number} [port] of something before it */
  repository(port = this.port) {
    return `${user}@127.0.0.1:${port}:bench`;
  }

  /** Most bytes of memory so far. */
  memoryPeak() {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8'))?.[1]) * 1024;
  }

  async close() {
    process.removeListener('exit', this.#end);
    const ended = once(this.#child, 'exit');
    this.#child.kill();
    await ended;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/**
 * Calls `use` with a port that leads to another one, `delayMs` later in each direction.
 * @template T
 * @param {number} port
 * @param {number} delayMs
 * @param {(port: number) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withDelay(port, delayMs, use) {
  const child = fork(delayProgram, [String(port), String(delayMs)]);
  try {
    const [nearPort] = await once(child, 'message');
    return await use(Number(nearPort));
  } finally {
    const ended = once(child, 'exit');
    child.kill();
    await ended;
  }
}

/** @param {readonly string[]} args of the program */
function succeed(args) {
  const { status, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`pbsfs ${args[0]} ${args[1]}: ${stderr}`);
}

/** What the server says when it is ready. @param {import('node:child_process').ChildProcess} child @returns {Promise<string>} */
function fingerprintOf(child) {
  return new Promise((resolve, reject) => {
    let said = '';
    const timer = setTimeout(() => reject(new Error(`the server did not start: ${said}`)), startMsMax);
    child.once('exit', () => reject(new Error(`the server ended: ${said}`)));
    for (const output of [child.stdout, child.stderr]) {
      output?.on('data', (/** @type {Buffer} */ data) => {
        said += data.toString();
        const fingerprint = /(?:[0-9a-f]{2}:){31}[0-9a-f]{2}/.exec(said)?.[0];
        if (fingerprint === undefined) return;
        clearTimeout(timer);
        resolve(fingerprint);
      });
    }
  });
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(address !== null && typeof address === 'object' ? address.port : 0));
    });
  });
}
