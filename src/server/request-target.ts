/** Path and query of a request as they are on the wire. Format: protocol, section 5.1. */
import { Refusal } from './refusal.js';

const targetLengthMax = 3072;

export interface RequestTarget {
  /** Decoded, without empty ones. */
  readonly components: readonly string[];
  /** Without its `?`; empty if there is none. */
  readonly query: string;
}

/** 414 without a text if it is too long; 400 for components that begin with a dot, or that are no UTF-8. */
export function parseTarget(target: string, lengthMax = targetLengthMax): RequestTarget {
  if (target.length > lengthMax) throw new Refusal(414, '');
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const components = path.split('/').filter((component) => component !== '').map(decoded);
  return { components, query: mark === -1 ? '' : target.slice(mark + 1) };
}

function decoded(component: string): string {
  const text = percentDecoded(component);
  if (component.startsWith('.') || text.startsWith('.')) throw new Refusal(400, 'a component of the path begins with a dot');
  if (text.includes('\0')) throw new Refusal(400, 'a component of the path has a NUL in it');
  return text;
}

function percentDecoded(component: string): string {
  try {
    return decodeURIComponent(component);
  } catch (cause) {
    throw new Refusal(400, 'a component of the path is not well percent-encoded', { cause });
  }
}
