/** A server as the rooms of a remote datastore see it: JSON calls, and sessions of the two HTTP/2 protocols. Format: protocol, sections 5 to 9. */
import type { JsonValue } from '../../format/json.js';
import type { Repository } from '../../format/repository.js';

export type Parameter = string | number | boolean | readonly (string | number)[] | undefined;
/** Undefined ones are left out. */
export type Parameters = Readonly<Record<string, Parameter>>;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface SessionOptions extends CallOptions {
  /** Called for each part of an answer. */
  readonly progress?: (() => void) | undefined;
}

export interface ServerState {
  readonly connected: boolean;
  /** Of the last attempt that failed, until one succeeds. */
  readonly lastError: string | undefined;
  /** Milliseconds since 1970, of the last change of `connected`. */
  readonly since: number;
  readonly reconnections: number;
  readonly sessions: number;
  /** Smoothed; undefined before the first answer. */
  readonly roundTripMs: number | undefined;
}

export interface ServerApi {
  readonly repository: Repository;
  /**
   * A call of the JSON API, for idempotent ones repeated with back-off while the server can't be reached and the timeout lasts. `path`: from `/api2/json`, with
   * components encoded. Gives `data`. UNREACHABLE, LOGIN_FAILED, UNTRUSTED, NO_PERMISSION (403), NOT_FOUND (404), PROTOCOL for what is no
   * answer of such a server; any other refusal is ServerRefusal with the server's text.
   */
  call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, parameters?: Parameters, options?: CallOptions): Promise<JsonValue>;
  /** POST of a raw body. */
  upload(path: string, parameters: Parameters, body: Buffer): Promise<JsonValue>;
  /** GET of a raw answer of at most `bytesMax`. Repeated and rejected as call(). */
  download(path: string, parameters: Parameters, bytesMax: number, options?: CallOptions): Promise<Buffer>;
  /** Rejects as call(). */
  openSession(protocol: 'backup' | 'reader', parameters: Parameters, options?: SessionOptions): Promise<ProtocolSession>;
  state(): ServerState;
  close(): Promise<void>;
}

export interface SessionRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** `/fixed_chunk`. */
  readonly path: string;
  readonly parameters?: Parameters;
  /** `json`: the parameters travel in the body. */
  readonly send?: { readonly kind: 'json' } | { readonly kind: 'bytes'; readonly parts: readonly Uint8Array[] };
  /** Most bytes of the answer. */
  readonly bytesMax: number;
  readonly signal?: AbortSignal | undefined;
}

/** One HTTP/2 session after the upgrade. Requests run concurrently; they wait for free streams and for the session's send window by themselves. */
export interface ProtocolSession {
  /** The body of a successful answer, in memory of its own. Rejects with ServerRefusal, or UNREACHABLE when the session is lost or silent for too long. */
  request(request: SessionRequest): Promise<Uint8Array<ArrayBuffer>>;
  /** As request(), for answers in JSON: gives `data`. An empty body is null. */
  call(request: SessionRequest): Promise<JsonValue>;
  readonly isOpen: boolean;
  /** Resolves when the session is gone, with the reason if it was not close(). Never rejects. */
  readonly ended: Promise<Error | undefined>;
  readonly roundTripMs: number | undefined;
  close(): void;
}
