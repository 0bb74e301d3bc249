/** The contract between the server and a protocol that takes a connection over. Format: protocol, section 9. */
import type { ServerHttp2Session } from 'node:http2';
import type { Call, ParameterSpecs } from './endpoint.js';

export interface Protocol<S extends ParameterSpecs = ParameterSpecs> {
  readonly name: 'backup' | 'reader';
  /** What the `Upgrade` header has to be, to the letter. */
  readonly id: string;
  /** From `/api2/json` on. */
  readonly path: '/backup' | '/reader';
  readonly parameters: S;
  /** The checks before that of the header: the caller may, and there is such a datastore. Rejects with what the client is told. */
  admit(call: Call<S>): Promise<void>;
  /** The checks after it. What it takes (locks, directories) belongs to the session. */
  begin(call: Call<S>): Promise<UpgradedSession>;
}

/** One of both is called, once. */
export interface UpgradedSession {
  /** Answers requests until the session is closed. Resolves when everything that it had is given back; never rejects. */
  serve(session: ServerHttp2Session): Promise<void>;
  /** The connection was gone before the session was there. Gives back what begin() took. */
  abandon(): Promise<void>;
}

/** A protocol whose parameters are typed by their specs, as one of a list. */
export function protocol<const S extends ParameterSpecs>(spec: Protocol<S>): Protocol {
  return spec;
}
