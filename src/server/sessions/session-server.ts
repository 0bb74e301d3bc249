/** Answers the requests of one HTTP/2 session. Format: protocol, sections 5 and 9.5. */
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { setTimeout } from 'node:timers/promises';
import type { Answer, Call, ParameterSpecs, ParameterValues } from '../endpoint.js';
import { refusalOf } from '../failure.js';
import { checkParameters, formParameters, jsonParameters, parameterBytesMax, type RawParameters } from '../parameters.js';
import { Refusal } from '../refusal.js';
import { parseTarget } from '../request-target.js';
import { Router } from '../router.js';
import { ByteBudget } from './byte-budget.js';
import { chunkMemory } from './chunk-memory.js';
import { answerFile, answerStream, refuseStream } from './session-answer.js';
import type { SessionAnswer, SessionEndpoint } from './session-endpoint.js';
import { bodyBytesMax, fileBytesAtOnceMax, fileBytesOnTheWay, sessionSilenceMs } from './session-settings.js';
import type { OpenedFile } from './snapshot-file.js';
import { discardBody, readStreamBody, withAnnouncedBody } from './stream-body.js';

/** Above it the header list is too long anyway. */
const targetLengthMax = 64 * 1024;
/** Of a body that nobody wants any more: read, so that the client comes to the answer. */
const drainedBytesMax = 32 * 1024 * 1024;

type Context = Pick<Call, 'context' | 'caller'>;

interface Budgets {
  /** What comes. */
  readonly bodies: ByteBudget;
  /** What goes. */
  readonly files: ByteBudget;
}

/** Sessions of the process. */
let served = 0;

export class SessionServer {
  readonly #protocol: string;
  readonly #router: Router<SessionEndpoint>;
  readonly #call: Context;
  readonly #budgets: Budgets = { bodies: new ByteBudget(() => bodyBytesMax(served)), files: new ByteBudget(() => fileBytesAtOnceMax) };
  readonly #running = new Set<Promise<void>>();

  constructor(protocol: string, endpoints: readonly SessionEndpoint[], call: Context) {
    this.#protocol = protocol;
    this.#router = new Router(endpoints);
    this.#call = call;
  }

  /** Resolves when the session is closed and all that it asked for has come to an end. `signal` closes it. */
  async serve(session: ServerHttp2Session, signal: AbortSignal): Promise<void> {
    const end = (): void => {
      session.destroy();
    };
    session.setTimeout(sessionSilenceMs, end);
    session.on('error', end);
    signal.addEventListener('abort', end, { once: true });
    session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      const running = this.#serveStream(stream, headers).finally(() => this.#running.delete(running));
      this.#running.add(running);
    });
    served++;
    await new Promise<void>((resolve) => {
      session.once('close', resolve);
      if (signal.aborted) end();
      if (session.destroyed) resolve();
    });
    signal.removeEventListener('abort', end);
    await Promise.allSettled(this.#running);
    served--;
  }

  async #serveStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const started = performance.now();
    const gone = new AbortController();
    stream.on('error', () => undefined);
    stream.once('close', () => {
      gone.abort(new Refusal(400, 'the client has given the request up'));
    });
    const request = new SessionRequest(stream, headers, this.#budgets, gone.signal);
    try {
      await request.answer(this.#router, this.#call);
      this.#count(200);
    } catch (error) {
      const refusal = refusalOf(error, this.#call.context);
      this.#count(refusal.status);
      await until(started + refusal.delayMs, gone.signal);
      refuseStream(stream, refusal, request.isBare);
    }
    drain(stream);
  }

  #count(status: number): void {
    this.#call.context.metrics.add('session_requests_total', 1, { protocol: this.#protocol, status });
  }
}

class SessionRequest {
  /** Nothing of what was asked for has run yet. */
  isBare = false;

  constructor(
    private readonly stream: ServerHttp2Stream,
    private readonly headers: IncomingHttpHeaders,
    private readonly budgets: Budgets,
    private readonly signal: AbortSignal,
  ) {}

  async answer(router: Router<SessionEndpoint>, context: Context): Promise<void> {
    const method = this.headers[':method'] ?? '';
    this.isBare = true;
    const { components, query } = parseTarget(this.headers[':path'] ?? '', targetLengthMax);
    this.isBare = false;
    const endpoint = router.find(method, components)?.endpoint;
    if (endpoint !== undefined) {
      await this.#answerBy(endpoint, query, context);
      return;
    }
    const names = method === 'GET' ? router.index(components) : undefined;
    if (names === undefined) throw new Refusal(404, `there is nothing for ${method.slice(0, 16)} of this path`);
    await answerStream(this.stream, { data: names.map((subdir) => ({ subdir })) });
  }

  async #answerBy(endpoint: SessionEndpoint, query: string, context: Context): Promise<void> {
    const isRaw = endpoint.rawBytesMax !== undefined || endpoint.discardsBody === true;
    const answer = isRaw ? await this.#runRaw(endpoint, query, context) : await this.#runPlain(endpoint, query, context);
    if ('file' in answer) await this.#sendFile(answer.file);
    else if ('stream' in answer) await this.#send(answer);
    else await answerStream(this.stream, answer);
  }

  /** A client that reads nothing has few files on their way. */
  async #send(answer: Extract<Answer, { stream: unknown }>): Promise<void> {
    try {
      await this.#within(this.budgets.files, fileBytesOnTheWay, () => answerStream(this.stream, answer));
    } finally {
      answer.stream.destroy();
    }
  }

  async #sendFile(file: OpenedFile): Promise<void> {
    try {
      await this.#within(this.budgets.files, file.bytes, async () => {
        const room = chunkMemory.take(file.bytes);
        try {
          await answerFile(this.stream, file, room);
        } finally {
          chunkMemory.give(room);
        }
      });
    } finally {
      await file.handle.close();
    }
  }

  async #runRaw(endpoint: SessionEndpoint, query: string, context: Context): Promise<SessionAnswer> {
    const parameters = this.#check(endpoint, () => formParameters(query));
    if (endpoint.discardsBody === true) {
      if (!this.stream.readableEnded) await discardBody(this.stream);
      return await this.#run(endpoint, parameters, Buffer.alloc(0), context);
    }
    const bytes = endpoint.announcedBytes?.(parameters) ?? endpoint.rawBytesMax ?? 0;
    const run = (body: Buffer): Promise<SessionAnswer> => this.#run(endpoint, parameters, body, context);
    return await this.#within(this.budgets.bodies, bytes, async () =>
      endpoint.announcedBytes === undefined ? await run(await readStreamBody(this.stream, bytes)) : await withAnnouncedBody(this.stream, bytes, run),
    );
  }

  async #runPlain(endpoint: SessionEndpoint, query: string, context: Context): Promise<SessionAnswer> {
    if (endpoint.method === 'GET' || this.stream.endAfterHeaders) {
      const parameters = this.#check(endpoint, () => formParameters(query));
      return await this.#run(endpoint, parameters, Buffer.alloc(0), context);
    }
    return await this.#within(this.budgets.bodies, parameterBytesMax, async () => {
      const body = await readStreamBody(this.stream, parameterBytesMax);
      const parameters = this.#check(endpoint, () => this.#parametersOf(query, body));
      return await this.#run(endpoint, parameters, Buffer.alloc(0), context);
    });
  }

  /** Those of a JSON body alone, or those of form and query. */
  #parametersOf(query: string, body: Buffer): RawParameters {
    const type = (this.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
    if (body.length === 0) return formParameters(query);
    if (type === 'application/json') return jsonParameters(body);
    if (type === 'application/x-www-form-urlencoded') return formParameters(query, body.toString());
    throw new Refusal(400, "the body's type has to be application/json or application/x-www-form-urlencoded");
  }

  #check(endpoint: SessionEndpoint, raw: () => RawParameters): ParameterValues {
    this.isBare = true;
    const values = checkParameters(endpoint.parameters, raw());
    this.isBare = false;
    return values;
  }

  #run(endpoint: SessionEndpoint, parameters: ParameterValues<ParameterSpecs>, body: Buffer, context: Context): Promise<SessionAnswer> {
    return endpoint.run({ ...context, parameters, body, signal: this.signal });
  }

  async #within<T>(budget: ByteBudget, bytes: number, work: () => Promise<T>): Promise<T> {
    await budget.take(bytes, this.signal);
    try {
      return await work();
    } finally {
      budget.give(bytes);
    }
  }
}

async function until(time: number, signal: AbortSignal): Promise<void> {
  const delayMs = time - performance.now();
  if (delayMs > 0) await setTimeout(delayMs, undefined, { signal }).catch(() => undefined);
}

function drain(stream: ServerHttp2Stream): void {
  if (stream.readableEnded || stream.destroyed) return;
  let bytes = 0;
  stream.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > drainedBytesMax) stream.close();
  });
  stream.resume();
}
