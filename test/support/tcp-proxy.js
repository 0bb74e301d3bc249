/** A bad network on loopback: passes TCP connections on, late, in part, changed, or not at all. */
import { createServer, connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers';

/** Bytes that may be on the way in one direction: bandwidth x delay of 1 GB/s over 100 ms. */
const inFlightBytesMax = 100 << 20;
/** The same of a link that is slow. */
const slowInFlightBytesMax = 64 << 10;

/** @typedef {'up' | 'down'} Direction up: from the client to the server */

/**
 * @typedef {object} Link
 * @property {import('node:net').Socket} client
 * @property {import('node:net').Socket} server
 */

export class TcpProxy {
  /** One way, milliseconds. For bytes that come from now on. */
  delayMs = 0;
  /** Bytes per millisecond, of each connection. @type {Record<Direction, number>} */
  rate = { up: Infinity, down: Infinity };
  /** Nothing is passed on, in either direction, and nobody is told. Connections are accepted. */
  isBlackHole = false;
  /** Nothing is read from the server: what it sends fills the buffers of the kernel, then it can't send more. */
  #isStalled = false;
  /** Connections that were accepted so far. */
  accepted = 0;
  /** Passed on so far. @type {Record<Direction, number>} */
  bytes = { up: 0, down: 0 };
  /** @type {number} */
  #port;
  /** @type {number} */
  #targetPort;
  /** @type {Set<Link>} */
  #links = new Set();
  /** @type {import('node:net').Server | undefined} */
  #listener;
  /** @type {{ direction: Direction, left: number } | undefined} */
  #cutAfter;
  /** @type {{ direction: Direction, left: number } | undefined} */
  #flipAfter;

  /** @param {number} targetPort @param {number} port */
  constructor(targetPort, port) {
    this.#targetPort = targetPort;
    this.#port = port;
  }

  /** @param {number} targetPort of 127.0.0.1; a new port is chosen for the proxy */
  static async start(targetPort) {
    const proxy = new TcpProxy(targetPort, 0);
    await proxy.accept();
    return proxy;
  }

  get port() {
    return this.#port;
  }

  get connections() {
    return this.#links.size;
  }

  /** Connections are refused until accept(). Those that are open stay. */
  async refuse() {
    const listener = this.#listener;
    this.#listener = undefined;
    await new Promise((resolve) => (listener === undefined ? resolve(undefined) : listener.close(resolve)));
  }

  async accept() {
    if (this.#listener !== undefined) return;
    const listener = createServer({ allowHalfOpen: true }, (client) => this.#link(client));
    this.#listener = listener;
    await new Promise((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(this.#port, '127.0.0.1', () => resolve(undefined));
    });
    const address = listener.address();
    if (address !== null && typeof address === 'object') this.#port = address.port;
    listener.unref();
  }

  /** From now on. */
  stall() {
    this.#isStalled = true;
    for (const { server } of this.#links) server.pause();
  }

  /** Resets all connections. */
  cut() {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** Resets the connection that passes this many further bytes on. @param {number} bytes @param {Direction} direction */
  cutAfter(bytes, direction) {
    this.#cutAfter = { direction, left: bytes };
  }

  /** Changes one byte, this many further ones on. @param {number} bytes @param {Direction} direction */
  flipAfter(bytes, direction) {
    this.#flipAfter = { direction, left: bytes };
  }

  async close() {
    this.cut();
    const listener = this.#listener;
    this.#listener = undefined;
    // Where connections are kept, close() waits for them; they are all gone.
    await new Promise((resolve) => (listener === undefined ? resolve(undefined) : listener.close(resolve)));
  }

  /** @param {import('node:net').Socket} client */
  #link(client) {
    this.accepted++;
    const server = connect({ port: this.#targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const link = { client, server };
    this.#links.add(link);
    const end = () => {
      this.#links.delete(link);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', end);
    }
    client.on('close', end);
    server.on('close', end);
    this.#pass(client, server, 'up', link);
    this.#pass(server, client, 'down', link);
  }

  /** @param {import('node:net').Socket} from @param {import('node:net').Socket} to @param {Direction} direction @param {Link} link */
  #pass(from, to, direction, link) {
    let onTheWay = 0;
    /** When what is on the way has been passed on, at the rate of the link. */
    let freeAt = 0;
    const mostOnTheWay = () => (this.rate[direction] === Infinity ? inFlightBytesMax : slowInFlightBytesMax);
    /** What is late goes on in order. @type {{ due: number, bytes: number, send: () => void }[]} */
    const late = [];
    let isWaiting = false;
    const arrive = () => {
      isWaiting = false;
      for (let first = late[0]; first !== undefined; first = late[0]) {
        const waitMs = first.due - performance.now();
        if (waitMs > 0) {
          isWaiting = true;
          setTimeout(arrive, waitMs);
          return;
        }
        late.shift();
        onTheWay -= first.bytes;
        if (from.isPaused() && onTheWay < mostOnTheWay() && !(this.#isStalled && direction === 'down')) from.resume();
        first.send();
      }
    };
    /** @param {number} bytes @param {() => void} send */
    const later = (bytes, send) => {
      onTheWay += bytes;
      if (onTheWay >= mostOnTheWay()) from.pause();
      freeAt = Math.max(freeAt, performance.now()) + bytes / this.rate[direction];
      late.push({ due: freeAt + this.delayMs, bytes, send });
      if (!isWaiting) arrive();
    };
    from.on('data', (bytes) => {
      if (this.isBlackHole) return;
      later(bytes.length, () => {
        const sent = this.#changed(bytes, direction);
        this.bytes[direction] += sent.length;
        if (!to.destroyed && !to.write(sent) && this.delayMs === 0) {
          from.pause();
          to.once('drain', () => {
            if (!(this.#isStalled && direction === 'down')) from.resume();
          });
        }
        if (sent.length < bytes.length) {
          link.client.resetAndDestroy();
          link.server.resetAndDestroy();
        }
      });
    });
    from.on('end', () => {
      if (!this.isBlackHole) later(0, () => to.end());
    });
  }

  /** What is passed on of `bytes`: fewer if the connection is to be cut. @param {Buffer} bytes @param {Direction} direction */
  #changed(bytes, direction) {
    const flip = this.#flipAfter;
    if (flip?.direction === direction) {
      if (flip.left < bytes.length) {
        bytes[flip.left] = (bytes[flip.left] ?? 0) ^ 0x20;
        this.#flipAfter = undefined;
      }
      flip.left -= bytes.length;
    }
    const cut = this.#cutAfter;
    if (cut?.direction !== direction) return bytes;
    if (cut.left < bytes.length) {
      this.#cutAfter = undefined;
      return bytes.subarray(0, cut.left);
    }
    cut.left -= bytes.length;
    return bytes;
  }
}
