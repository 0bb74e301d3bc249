/** The hash by which goodbye tables are ordered. Format: pxar, section 2.2 */
import { sipHash24, type SipKey } from './siphash.js';
import type { U64 } from './u64.js';

/** The first 16 bytes of SHA-1("PROXMOX ARCHIVE FORMAT"), as two big-endian numbers. */
export const pxarSipKey: SipKey = {
  k0: { hi: 0x83ac3f1c, lo: 0xfbb450db },
  k1: { hi: 0xaa4f1b68, lo: 0x79369fbd },
};

export function nameHash(name: Buffer): U64 {
  return sipHash24(pxarSipKey, name);
}
