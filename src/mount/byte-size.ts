/** Sizes as people type them: `512M`, `2GiB`, `1048576`. Units are powers of 1024. */
import { UsageError } from '../errors.js';

const units = ['', 'K', 'M', 'G', 'T'];
const sizePattern = /^([0-9]{1,15})([KMGT]?)(?:iB|B)?$/i;

/** Bytes; `what` names the option in the USAGE error. */
export function parseByteSize(text: string, what: string): number {
  const [, digits, unit] = sizePattern.exec(text) ?? [];
  const bytes = digits === undefined ? NaN : Number(digits) * 1024 ** units.indexOf((unit ?? '').toUpperCase());
  if (!Number.isSafeInteger(bytes)) throw new UsageError(`${what}: '${text}' is not a size; write one like 512M or 2G`);
  return bytes;
}
