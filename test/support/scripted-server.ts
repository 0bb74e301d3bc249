/** A TLS server that keeps every byte it is sent and answers with what a test has written down. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { Certificate } from './certificate.js';

export interface ScriptedServer {
  readonly port: number;
  /** Of all connections, in order of arrival. */
  received(): Buffer;
  readonly names: (string | false | null | undefined)[];
  readonly protocols: (string | false | null)[];
  close(): Promise<void>;
}

/** `answer` is called whenever something has come, with all that came on the connection so far. */
export async function scriptedServer({ key, cert }: Certificate, answer: (socket: TLSSocket, received: string) => void, host = '127.0.0.1'): Promise<ScriptedServer> {
  const parts: Buffer[] = [];
  const sockets = new Set<TLSSocket>();
  const names: ScriptedServer['names'] = [];
  const protocols: ScriptedServer['protocols'] = [];
  const server = createServer({ key, cert, ALPNProtocols: ['h2', 'http/1.1'] }, (socket) => {
    let own = '';
    sockets.add(socket);
    names.push(socket.servername);
    protocols.push(socket.alpnProtocol);
    socket.on('error', () => undefined);
    socket.on('data', (part: Buffer) => {
      parts.push(part);
      own += part.toString('latin1');
      answer(socket, own);
    });
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    received: () => Buffer.concat(parts),
    names,
    protocols,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export function httpAnswer(status: string, body: string, type = 'application/json;charset=UTF-8'): string {
  return `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\ndate: Wed, 25 Nov 2026 08:00:00 GMT\r\n\r\n${body}`;
}
