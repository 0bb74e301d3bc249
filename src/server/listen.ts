/** Where servers listen. */
import { once } from 'node:events';
import type { Server } from 'node:net';
import { codeOf } from '../errors.js';

export interface ListenAddress {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there; is a server running already?',
  EADDRNOTAVAIL: 'this machine does not have the address',
  EACCES: 'no permission; ports from 1024 on are for everybody',
  ENOTFOUND: 'there is no address of this name',
};

/** With the code of the system: EADDRINUSE, EACCES... */
export async function listen(server: Server, { host, port }: ListenAddress): Promise<void> {
  server.listen({ host, port });
  try {
    await once(server, 'listening');
  } catch (cause) {
    const code = codeOf(cause);
    const text = `can't listen on ${placeText({ host, port })}: ${reasons[code ?? ''] ?? String(code)}`;
    throw Object.assign(new Error(text, { cause }), { code });
  }
}

/** `127.0.0.1:8007`, `[::]:8007`. */
export function placeText({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
