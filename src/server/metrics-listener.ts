/** `/metrics` for Prometheus: plain HTTP without a login, so at an address of its own that is only opened when asked for. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { listen, type ListenAddress } from './listen.js';
import type { Metrics } from './metrics.js';

const type = 'text/plain; version=0.0.4; charset=utf-8';
const connectionsMax = 32;
const requestMs = 10_000;

export interface MetricsListener {
  readonly port: number;
  close(): Promise<void>;
}

/** EADDRINUSE and the like. */
export async function listenForMetrics(address: ListenAddress, metrics: Metrics): Promise<MetricsListener> {
  const server = createServer({ requestTimeout: requestMs, headersTimeout: requestMs }, (request, response) => {
    const isThere = request.url === '/metrics' && (request.method === 'GET' || request.method === 'HEAD');
    response.writeHead(isThere ? 200 : 404, { 'content-type': type });
    response.end(isThere ? metrics.text() : 'only /metrics is here\n');
  });
  server.maxConnections = connectionsMax;
  await listen(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
