import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openServer, type Server } from '../../../src/store/remote/server.js';
import type { OpenOptions } from '../../../src/store/open-options.js';
import { parseRepository } from '../../../src/format/repository.js';
import { selfSignedCertificate, type Certificate } from '../../support/certificate.js';
import { SmallServer } from '../../support/small-server.js';

let certificate: Certificate;
let small: SmallServer;
const opened: Server[] = [];

beforeAll(() => {
  certificate = selfSignedCertificate();
});
beforeEach(async () => {
  small = await SmallServer.start(certificate);
  return async () => {
    for (const server of opened.splice(0)) await server.close();
    await small.close();
  };
});

function open(authId: string, environment: NodeJS.ProcessEnv, options: Partial<OpenOptions> = {}): Server {
  const server = openServer(parseRepository(`${authId}@127.0.0.1:${small.port}:store1`), {
    environment,
    fingerprint: certificate.fingerprint,
    warn: () => undefined,
    ...options,
  });
  opened.push(server);
  return server;
}

describe('a server', () => {
  it('is logged in to, asked and upgraded on one connection', async () => {
    const server = open('backup@pbs', { PBS_PASSWORD: 'secret' });
    expect(await server.call('GET', '/version', { ns: 'a/b c', 'backup-id': 'x' })).toEqual({ path: '/api2/json/version?backup-id=x&ns=a%2Fb+c' });
    const session = await server.openSession('backup', { store: 'store1', 'backup-id': 'elsa', debug: true });
    small.stream = (stream, headers, body) => {
      stream.respond({ ':status': 200 });
      stream.end(JSON.stringify({ data: { path: headers[':path'], length: body.length } }));
    };
    const big = new Uint8Array(9_000_000);
    expect(await session.call({ method: 'POST', path: '/x', parameters: { a: 1 }, send: { kind: 'bytes', parts: [big, big] }, bytesMax: 1000 })).toEqual({ path: '/x?a=1', length: 18_000_000 });
    expect(small.connections).toBe(1);
    expect(server.state()).toMatchObject({ connected: true, sessions: 1 });
    session.close();
    expect(await session.ended).toBeUndefined();
  });
});
afterAll(() => undefined);
