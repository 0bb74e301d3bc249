/** Format: datastore, section 1.2. Namespaces: up to seven components, each a directory below an `ns` directory. */
import { FormatError } from '../errors.js';
import { isSafeId } from './safe-id.js';

/** Components from the root on; empty for the root itself. */
export type Namespace = readonly string[];

const namespaceDepthMax = 7;
const namespaceBytesMax = 256;

/** Whether `component` may be the last component of a namespace below `parent`. */
export function isNamespaceChild(parent: Namespace, component: string): boolean {
  return (
    parent.length < namespaceDepthMax &&
    isSafeId(component) &&
    parent.join('/').length + component.length + 1 <= namespaceBytesMax
  );
}

/** `prod/eu`; empty for the root. */
export function formatNamespace(namespace: Namespace): string {
  return namespace.join('/');
}

/** The namespace that is written `text`. Throws BAD_NAME. */
export function parseNamespace(text: string): Namespace {
  const namespace: string[] = [];
  for (const component of text === '' ? [] : text.split('/', namespaceDepthMax + 1)) {
    if (!isNamespaceChild(namespace, component)) {
      throw new FormatError('BAD_NAME', `'${text}' is not a namespace: at most ${namespaceDepthMax} names like 'prod/eu'`);
    }
    namespace.push(component);
  }
  return namespace;
}

/** Its directory relative to the datastore: `ns/prod/ns/eu`; empty for the root. */
export function namespacePath(namespace: Namespace): string {
  return namespace.map((component) => `ns/${component}`).join('/');
}
