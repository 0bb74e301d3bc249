/**
 * What a staged file that is a clone keeps of itself, in an attribute of its own: the archive and the file there whose bytes it has, from the
 * first one on, as many as its size says. What lies in the spool is a hole of that size.
 */
import type { NodeId } from '../../archive/pxar-tree.js';

export interface CloneFact {
  /** Names the archive among the origins of the staging directory. */
  readonly origin: string;
  readonly node: NodeId;
}

export const cloneFactName = 'clone';
export const cloneXattrName = Buffer.from(`user.pbsfs.${cloneFactName}`);
const pattern = /^([0-9a-f]{16}) ([0-9]{1,16})$/;

export function encodeCloneFact({ origin, node }: CloneFact): Buffer {
  return Buffer.from(`${origin} ${node}`);
}

/** Undefined for what is none. */
export function decodeCloneFact(value: Buffer): CloneFact | undefined {
  const [, origin, digits] = pattern.exec(value.toString('latin1')) ?? [];
  const node = Number(digits);
  return origin === undefined || !Number.isSafeInteger(node) ? undefined : { origin, node };
}
