/** One request and its answer, with what is known of it so far. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { isIPv6, type Socket } from 'node:net';
import type { AccessRecord } from './access-log.js';
import { loggedTarget } from './access-log.js';
import { sendRefusal } from './answer.js';
import type { Caller } from './caller.js';
import { endConnection } from './end-connection.js';
import { parameterBytesMax } from './parameters.js';
import type { Refusal } from './refusal.js';

export class Exchange {
  readonly address: string;
  /** Once it is known who asks. */
  caller: Caller | undefined;
  /** Refusals have a type once it is known what is asked for. */
  isUnderstood = false;
  readonly #startedMs = performance.now();
  readonly #abort = new AbortController();

  constructor(
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
    /** Where the request asks for another protocol: nothing else can follow on its connection. */
    readonly upgradeHead?: Buffer,
  ) {
    this.address = addressOf(request.socket);
    response.once('close', () => {
      if (!response.writableFinished) this.#abort.abort();
    });
    request.socket.once('close', this.#onSocketClose);
    response.once('finish', () => {
      request.socket.off('close', this.#onSocketClose);
      if (upgradeHead !== undefined) endConnection(request.socket);
    });
  }

  /** Of a request that asks for another protocol: its connection is another's from now on. */
  release(): void {
    this.request.socket.off('close', this.#onSocketClose);
    this.response.detachSocket(this.request.socket);
  }

  readonly #onSocketClose = (): void => this.#abort.abort();

  /** Given when the client is gone. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get method(): string {
    return this.request.method ?? '';
  }

  /** After the delay that it asks for, if somebody still waits. */
  async refuse(refusal: Refusal): Promise<void> {
    const waitMs = this.#startedMs + refusal.delayMs - performance.now();
    if (waitMs > 0) await setTimeout(Math.ceil(waitMs) + 1, undefined, { signal: this.signal }).catch(() => undefined);
    const { request, response, upgradeHead } = this;
    if (response.headersSent || response.destroyed || this.signal.aborted) return void request.socket.destroy();
    sendRefusal(response, refusal, { bare: !this.isUnderstood, close: upgradeHead !== undefined || refusal.status === 408 || !isShort(request) });
  }

  record(status: number): AccessRecord {
    const { request, caller, address } = this;
    const bytes = Number(this.response.getHeader('content-length') ?? 0);
    const durationMs = Math.round(performance.now() - this.#startedMs);
    return { time: new Date().toISOString(), address, user: caller?.authId ?? '', method: this.method, target: loggedTarget(request.url ?? ''), status, bytes, durationMs };
  }
}

/** Whether what is left of a request's body can be thrown away in passing. */
function isShort(request: IncomingMessage): boolean {
  if (request.complete) return true;
  const length = request.headers['content-length'];
  return length === undefined ? request.headers['transfer-encoding'] === undefined : Number(length) <= parameterBytesMax;
}

/** IPv4 in its own form, on a socket for both, too. */
export function addressOf({ remoteAddress = '' }: Pick<Socket, 'remoteAddress'>): string {
  return isIPv6(remoteAddress) ? remoteAddress.replace(/^::ffff:(?=\d+\.)/i, '') : remoteAddress;
}
