/** One method and path of an HTTP/2 protocol. Its path has one component. Format: protocol, sections 9.5, 10.2 and 11. */
import type { Endpoint, ParameterSpecs, ParameterValues } from '../endpoint.js';

export interface SessionEndpoint<S extends ParameterSpecs = ParameterSpecs> extends Endpoint<S> {
  /** With `rawBytesMax`: how long the body was announced to be. It is refused unless it is that. */
  readonly announcedBytes?: (parameters: ParameterValues<S>) => number;
  /** All parameters are in the query; the body is read and thrown away. */
  readonly discardsBody?: true;
}

/** An endpoint whose parameters are typed by their specs, as one of a list. */
export function sessionEndpoint<const S extends ParameterSpecs>(spec: SessionEndpoint<S>): SessionEndpoint {
  return spec as unknown as SessionEndpoint;
}
