/** HTTP over TLS, byte by byte: what is sent is what was given, and what comes is seen as it came. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  /** In lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export class RawConnection {
  #bytes = Buffer.alloc(0);
  #wake: () => void = () => undefined;
  closed = false;

  private constructor(readonly socket: net.Socket) {
    socket.on('data', (piece: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, piece]);
      this.#wake();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  static async open(port: number, options: tls.ConnectionOptions & { readonly allowHalfOpen?: boolean } = {}): Promise<RawConnection> {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    await once(socket, 'secureConnect');
    return new RawConnection(socket);
  }

  static async openPlain(port: number): Promise<RawConnection> {
    const socket = net.connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** What came and is not part of an answer that was read. */
  get rest(): Buffer {
    return this.#bytes;
  }

  /** The next one; `toHead`: of a HEAD, which has no body. Rejects if the connection ends before. */
  async answer({ toHead = false } = {}): Promise<RawAnswer> {
    for (;;) {
      const found = this.#parse(toHead);
      if (found !== undefined) return found;
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.#bytes.toString('latin1'))}`);
      await this.#more();
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await this.#more();
  }

  close(): void {
    this.socket.destroy();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #parse(toHead: boolean): RawAnswer | undefined {
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end === -1) return undefined;
    const head = this.#bytes.subarray(0, end).toString('latin1');
    const [line = '', ...lines] = head.split('\r\n');
    const headers = Object.fromEntries(lines.map((text) => [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1).trim()]));
    const status = Number(line.split(' ')[1]);
    const body = status === 101 || toHead ? { text: '', end: end + 4 } : bodyOf(this.#bytes, end + 4, headers);
    if (body === undefined) return undefined;
    this.#bytes = this.#bytes.subarray(body.end);
    return { status, head, headers, body: body.text };
  }
}

function bodyOf(bytes: Buffer, start: number, headers: Readonly<Record<string, string>>): { text: string; end: number } | undefined {
  if (headers['transfer-encoding'] !== 'chunked') {
    const end = start + Number(headers['content-length'] ?? 0);
    return end <= bytes.length ? { text: bytes.subarray(start, end).toString(), end } : undefined;
  }
  let text = '';
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(bytes.subarray(at, lineEnd).toString('latin1'), 16);
    if (lineEnd + size + 4 > bytes.length) return undefined;
    text += bytes.subarray(lineEnd + 2, lineEnd + 2 + size).toString();
    at = lineEnd + size + 4;
    if (size === 0) return { text, end: at };
  }
}

/** Sends `bytes` on a connection of its own, and gives the answer. */
export async function ask(port: number, bytes: string | Buffer): Promise<RawAnswer> {
  const connection = await RawConnection.open(port);
  connection.send(bytes);
  try {
    return await connection.answer({ toHead: bytes.toString('latin1').startsWith('HEAD ') });
  } finally {
    connection.close();
  }
}

/** The text of a request; `body` gets its length told. */
export function request(line: string, headers: Readonly<Record<string, string>> = {}, body?: string): string {
  const all = { host: 'pbs.example:8007', ...headers, ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }) };
  return `${line} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body === undefined ? '' : Buffer.from(body).toString('latin1')}`;
}
