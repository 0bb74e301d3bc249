/** What tasks of this process are called after. */
import { hostname } from 'node:os';
import { readFileSync } from 'node:fs';
import { isNodeName } from '../format/upid.js';

/** The host's name, as far as it can be that of a node. */
export function nodeName(host = hostname()): string {
  const name = host.split('.', 1)[0] ?? '';
  return isNodeName(name) ? name : 'localhost';
}

/** 0 where there is no /proc. */
export function processStart(): number {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  } catch {
    return 0;
  }
}
