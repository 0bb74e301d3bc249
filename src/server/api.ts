/** The JSON API: from a request to its answer. Format: protocol, section 5. */
import { setTimeout } from 'node:timers/promises';
import type { Authenticator } from './access/authenticator.js';
import { nobody } from './access/known-caller.js';
import type { AccessLog } from './access-log.js';
import { sendAnswer } from './answer.js';
import type { Caller } from './caller.js';
import type { Answer, Call, Endpoint, ParameterSpecs } from './endpoint.js';
import type { Exchange } from './exchange.js';
import { refusalOf } from './failure.js';
import { checkParameters, formParameters } from './parameters.js';
import { Refusal } from './refusal.js';
import { readBody, readParameters } from './request-body.js';
import { parseTarget, type RequestTarget } from './request-target.js';
import { Router, type Found } from './router.js';
import type { ServerContext } from './server-context.js';
import type { OpenSessions } from './open-sessions.js';

export interface ApiParts {
  readonly context: ServerContext;
  readonly authenticator: Authenticator;
  readonly endpoints: readonly Endpoint[];
  readonly sessions: OpenSessions;
  readonly accessLog: AccessLog | undefined;
}

export class Api {
  readonly #parts: ApiParts;
  readonly #router: Router<Endpoint>;
  readonly #running = new Set<Promise<void>>();

  constructor(parts: ApiParts) {
    this.#parts = parts;
    const upgrades = parts.sessions.protocols.map(({ path, parameters }): Endpoint => ({ method: 'GET', path, parameters, run: () => Promise.reject(new Refusal(400, 'this needs an upgrade')) }));
    this.#router = new Router([...parts.endpoints, ...upgrades]);
  }

  /** Never rejects. */
  async handle(exchange: Exchange): Promise<void> {
    const handled = this.#handle(exchange);
    this.#running.add(handled);
    await handled;
    this.#running.delete(handled);
  }

  /** Resolves when nothing is under way, sessions aside, or after `timeoutMs`. */
  async idle(timeoutMs: number): Promise<void> {
    const timer = new AbortController();
    await Promise.race([Promise.all(this.#running), setTimeout(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
    timer.abort();
  }

  async #handle(exchange: Exchange): Promise<void> {
    const { context, accessLog } = this.#parts;
    let status: number;
    try {
      status = await this.#answer(exchange);
    } catch (error) {
      // What fails because nobody waits for it any more is no failure.
      const refusal = exchange.signal.aborted ? new Refusal(400, 'the client is gone') : refusalOf(error, context);
      status = refusal.status;
      if (status === 401 && !exchange.isUnderstood) context.metrics.add('authentication_failures_total');
      await exchange.refuse(refusal).catch(() => exchange.request.socket.destroy());
    }
    context.metrics.add('requests_total', 1, { status });
    accessLog?.write(exchange.record(status));
  }

  async #answer(exchange: Exchange): Promise<number> {
    const target = parseTarget(exchange.request.url ?? '');
    const [api, format, ...components] = target.components;
    if (api !== 'api2' || format !== 'json') throw new Refusal(404, 'there is nothing at this path; the API begins with /api2/json');
    const found = this.#router.find(exchange.method, components);
    const caller = found?.endpoint.anonymous === true ? nobody(exchange.address) : await this.#authenticate(exchange);
    exchange.isUnderstood = true;
    const protocol = exchange.method === 'GET' ? this.#parts.sessions.protocols.find(({ path }) => path === `/${components.join('/')}`) : undefined;
    if (protocol !== undefined) {
      const parameters = checkParameters(protocol.parameters, formParameters(target.query));
      await this.#parts.sessions.open(protocol, exchange, this.#call(exchange, caller, parameters));
      return 101;
    }
    await sendAnswer(exchange.response, await this.#run(exchange, caller, target, components, found));
    return 200;
  }

  async #authenticate(exchange: Exchange): Promise<Caller> {
    const { headers } = exchange.request;
    const csrf = headers.csrfpreventiontoken;
    exchange.caller = await this.#parts.authenticator.authenticate({
      method: exchange.method,
      cookies: headers.cookie === undefined ? [] : [utf8(headers.cookie)],
      authorization: headers.authorization === undefined ? undefined : utf8(headers.authorization),
      csrfToken: typeof csrf === 'string' ? csrf : undefined,
      address: exchange.address,
    });
    return exchange.caller;
  }

  async #run(exchange: Exchange, caller: Caller, target: RequestTarget, components: readonly string[], found: Found<Endpoint> | undefined): Promise<Answer> {
    if (found === undefined) return this.#index(exchange, components);
    const { endpoint, pathParameters } = found;
    const { rawBytesMax } = endpoint;
    const isInQuery = rawBytesMax !== undefined || endpoint.queryOnly === true;
    const given = isInQuery ? formParameters(target.query) : await readParameters(exchange.request, target.query);
    const parameters = checkParameters(endpoint.parameters, given, pathParameters);
    const body = rawBytesMax === undefined ? Buffer.alloc(0) : await readBody(exchange.request, rawBytesMax);
    return await endpoint.run({ ...this.#call(exchange, caller, parameters), body });
  }

  #index({ method }: Exchange, components: readonly string[]): Answer {
    const names = method === 'GET' ? this.#router.index(components) : undefined;
    if (names === undefined) throw new Refusal(404, 'there is no such path, or not with this method');
    return { data: names.map((subdir) => ({ subdir })) };
  }

  #call(exchange: Exchange, caller: Caller, parameters: Call<ParameterSpecs>['parameters']): Call {
    return { context: this.#parts.context, caller, parameters, body: Buffer.alloc(0), signal: exchange.signal };
  }
}

/** Node decodes headers as Latin-1. */
function utf8(header: string): string {
  return Buffer.from(header, 'latin1').toString();
}
