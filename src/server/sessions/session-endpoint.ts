/** One method and path of an HTTP/2 protocol. Its path has one component. Format: protocol, sections 9.5, 10.2 and 11. */
import type { Answer, Call, Endpoint, ParameterSpecs, ParameterValues } from '../endpoint.js';
import type { OpenedFile } from './snapshot-file.js';

/** Or a file of at most some MiB, which is sent in one piece and closed. */
export type SessionAnswer = Answer | { readonly file: OpenedFile };

export interface SessionEndpoint<S extends ParameterSpecs = ParameterSpecs> extends Omit<Endpoint<S>, 'run'> {
  readonly run: (call: Call<S>) => Promise<SessionAnswer>;
  /** With `rawBytesMax`: how long the body was announced to be. It is refused unless it is that. */
  readonly announcedBytes?: (parameters: ParameterValues<S>) => number;
  /** All parameters are in the query; the body is read and thrown away. */
  readonly discardsBody?: true;
}

/** An endpoint whose parameters are typed by their specs, as one of a list. */
export function sessionEndpoint<const S extends ParameterSpecs>(spec: SessionEndpoint<S>): SessionEndpoint {
  return spec as unknown as SessionEndpoint;
}
