/** The answer to plain HTTP on the port of TLS: come back with https. Format: protocol, section 4. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';

const headBytesMax = 16 * 1024;

/** `first`: bytes that came already. The connection ends with the answer, or after `timeoutMs`. */
export function redirectPlain(socket: Socket, first: Buffer, timeoutMs: number): void {
  let head = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  socket.once('close', () => clearTimeout(timer));
  const take = (piece: Buffer): void => {
    head = Buffer.concat([head, piece.subarray(0, headBytesMax - head.length)]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1 && head.length < headBytesMax) return;
    socket.off('data', take);
    socket.end(answer(head.subarray(0, end === -1 ? head.length : end).toString('latin1')));
    socket.resume();
  };
  socket.on('data', take);
  take(first);
  socket.resume();
}

/** Where it comes from is where it goes to: the host is one of plain characters, or none. */
function answer(head: string): string {
  const [line = '', ...headers] = head.split('\r\n');
  const method = /^([A-Z]+) \S+ HTTP\/1\.[01]$/.exec(line)?.[1];
  const host = headers.map((header) => /^host:\s*([A-Za-z0-9.:_[\]-]+)\s*$/i.exec(header)?.[1]).find((value) => value !== undefined);
  if (method === undefined || host === undefined) return response(400, []);
  return response(method === 'GET' || method === 'HEAD' ? 301 : 308, [`location: https://${host}`]);
}

function response(status: number, headers: readonly string[]): string {
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...headers, 'content-length: 0', 'connection: close', `date: ${new Date().toUTCString()}`];
  return `${lines.join('\r\n')}\r\n\r\n`;
}
