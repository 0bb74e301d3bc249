/** How long to wait for a server, as a person writes it. */
import { UsageError } from '../errors.js';

const timeoutSecondsMax = 86_400;

/** From seconds. USAGE. */
export function parseTimeoutMs(text: string): number {
  const seconds = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds <= 0 || seconds > timeoutSecondsMax) throw new UsageError(`timeout: '${text}' is not a number of seconds, 1 to ${timeoutSecondsMax}`);
  return seconds * 1000;
}
