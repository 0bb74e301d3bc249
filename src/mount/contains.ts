/** Of paths without links. */
import { relative } from 'node:path';

/** Whether `path` is `directory`, or lies in it. */
export function contains(directory: string, path: string): boolean {
  const way = relative(directory, path);
  return way !== '..' && !way.startsWith('../');
}
