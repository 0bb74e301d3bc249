/** Which endpoint a method and a path mean. Format: protocol, section 5.1. */
import type { Endpoint } from './endpoint.js';

export interface Found<T> {
  readonly endpoint: T;
  /** Components of the path that are parameters, by name. */
  readonly pathParameters: ReadonlyMap<string, string>;
}

type Routed = Pick<Endpoint, 'method' | 'path'>;

interface Route<T> {
  readonly endpoint: T;
  readonly pattern: readonly string[];
}

export class Router<T extends Routed> {
  readonly #routes: readonly Route<T>[];

  /** Paths with words go before those that have a parameter there. */
  constructor(endpoints: readonly T[]) {
    const routes = endpoints.map((endpoint) => ({ endpoint, pattern: endpoint.path.split('/').filter((component) => component !== '') }));
    this.#routes = routes.sort((a, b) => wordCount(b.pattern) - wordCount(a.pattern));
  }

  find(method: string, components: readonly string[]): Found<T> | undefined {
    for (const { endpoint, pattern } of this.#routes) {
      if (endpoint.method !== method || pattern.length !== components.length) continue;
      const pathParameters = match(pattern, components);
      if (pathParameters !== undefined) return { endpoint, pathParameters };
    }
    return undefined;
  }

  /** Words that may follow, sorted; undefined if nothing may. */
  index(components: readonly string[]): readonly string[] | undefined {
    const below = this.#routes.filter(({ pattern }) => pattern.length > components.length && match(pattern.slice(0, components.length), components) !== undefined);
    if (below.length === 0) return undefined;
    const names = below.map(({ pattern }) => pattern[components.length] ?? '').filter((name) => parameterName(name) === undefined);
    return [...new Set(names)].sort();
  }
}

function match(pattern: readonly string[], components: readonly string[]): ReadonlyMap<string, string> | undefined {
  const parameters = new Map<string, string>();
  for (const [i, part] of pattern.entries()) {
    const name = parameterName(part);
    const component = components[i] ?? '';
    if (name !== undefined) parameters.set(name, component);
    else if (part !== component) return undefined;
  }
  return parameters;
}

function wordCount(pattern: readonly string[]): number {
  return pattern.filter((part) => parameterName(part) === undefined).length;
}

function parameterName(part: string): string | undefined {
  return /^\{(.+)\}$/.exec(part)?.[1];
}
