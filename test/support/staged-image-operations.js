/** What the writer that is killed does, so that a test knows it. */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';

export const sectorBytes = 4096;
export const imageSectors = 5 * 1024 + 3;

/**
 * Operation `number`: whole sectors, each of which tells who wrote it.
 *
 * @param {number} number
 * @param {number} seed
 * @returns {{ kind: 'write' | 'punch', offset: number, bytes: Buffer }}
 */
export function operationOf(number, seed) {
  const random = createHash('sha256').update(`${seed} ${number}`).digest();
  const isWhole = (random[0] ?? 0) < 40;
  const first = isWhole ? (random.readUInt32LE(4) % 5) * 1024 : random.readUInt32LE(4) % imageSectors;
  const wanted = isWhole ? 1024 : 1 + (random.readUInt32LE(8) % ((random[1] ?? 0) < 200 ? 20 : 500));
  const sectors = Math.min(wanted, imageSectors - first);
  const kind = (random[2] ?? 0) < 30 ? 'punch' : 'write';
  const bytes = Buffer.alloc(sectors * sectorBytes);
  for (let i = 0; i < sectors && kind === 'write'; i++) bytes.write(`operation ${number} sector ${first + i} `, i * sectorBytes);
  return { kind, offset: first * sectorBytes, bytes };
}
