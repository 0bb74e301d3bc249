/** One method and path of the JSON API or of an HTTP/2 protocol: its parameters, who may call it, and what it does. Format: protocol, section 5. */
import type { Readable } from 'node:stream';
import type { JsonObject, JsonValue } from '../format/json.js';
import type { Caller } from './caller.js';
import type { ServerContext } from './server-context.js';

/** `check` gives what is wrong with a value, for the person who sent it; undefined if nothing is. */
export type ParameterSpec =
  | { readonly kind: 'string'; readonly optional?: boolean; readonly check?: (value: string) => string | undefined }
  | { readonly kind: 'integer'; readonly optional?: boolean; readonly min?: number; readonly max?: number }
  | { readonly kind: 'boolean'; readonly optional?: boolean }
  | { readonly kind: 'strings'; readonly optional?: boolean; readonly countMax: number; readonly check?: (value: string) => string | undefined }
  | { readonly kind: 'integers'; readonly optional?: boolean; readonly countMax: number };

export type ParameterSpecs = Readonly<Record<string, ParameterSpec>>;

type ValueOf<S extends ParameterSpec> = S extends { kind: 'string' }
  ? string
  : S extends { kind: 'integer' }
    ? number
    : S extends { kind: 'boolean' }
      ? boolean
      : S extends { kind: 'strings' }
        ? readonly string[]
        : readonly number[];

export type ParameterValues<S extends ParameterSpecs = ParameterSpecs> = {
  readonly [Name in keyof S]: S[Name] extends { readonly optional: true } ? ValueOf<S[Name]> | undefined : ValueOf<S[Name]>;
};

/** JSON: `data`, and members beside it. Or bytes, whose length is told if it is known. */
export type Answer =
  | JsonAnswer
  | { readonly bytes: Uint8Array | readonly Uint8Array[] }
  | { readonly stream: Readable; readonly length?: number };

export interface JsonAnswer {
  readonly data: JsonValue;
  readonly beside?: JsonObject;
  /** `plain`: `application/json` without a charset. `chunked`: without a length, members in the order that they have, `beside` first. */
  readonly form?: 'plain' | 'chunked';
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Call<S extends ParameterSpecs = ParameterSpecs> {
  readonly context: ServerContext;
  readonly caller: Caller;
  readonly parameters: ParameterValues<S>;
  /** Of a raw endpoint; else empty. */
  readonly body: Buffer;
  /** Given when the client is gone. */
  readonly signal: AbortSignal;
}

export interface Endpoint<S extends ParameterSpecs = ParameterSpecs> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** From `/api2/json` on: `/admin/datastore/{store}/snapshots`. Components in braces are parameters that are listed below too. */
  readonly path: string;
  readonly parameters: S;
  /** Without a login. */
  readonly anonymous?: true;
  /** All parameters are in the query; nobody looks at a body, or at its type. */
  readonly queryOnly?: true;
  /** The body is bytes, at most so many, and all parameters are in the query. */
  readonly rawBytesMax?: number;
  /** Refusal and errors of src/errors.ts become answers. */
  readonly run: (call: Call<S>) => Promise<Answer>;
}

/** An endpoint whose parameters are typed by their specs, as one of a list. */
export function endpoint<const S extends ParameterSpecs>(spec: Endpoint<S>): Endpoint {
  return spec as unknown as Endpoint;
}
