/**
 * Format: datastore, section 1.2. Times of snapshots: seconds since 1970, and the directory name in UTC. Only the
 * canonical form is a name; a server also takes others (30 February, second 60) and then uses two names for one snapshot.
 */
import { FormatError } from '../errors.js';

const timePattern = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z$/;
/** 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
const timeMin = -62_167_219_200;
const timeMax = 253_402_300_799;

/** `2021-05-24T16:09:24Z`. Throws BAD_NAME outside of the years 0000 to 9999. */
export function formatBackupTime(time: number): string {
  if (!isBackupTime(time)) {
    throw new FormatError('BAD_NAME', `${time} is not a time in seconds between the years 0000 and 9999`);
  }
  return new Date(time * 1000).toISOString().replace('.000Z', 'Z');
}

/** Whether it has a form as a name. */
export function isBackupTime(time: number): boolean {
  return Number.isInteger(time) && time >= timeMin && time <= timeMax;
}

/** The time that `name` is the canonical form of, or undefined. */
export function parseBackupTime(name: string): number | undefined {
  if (!timePattern.test(name)) return undefined;
  const time = Date.parse(name) / 1000;
  return Number.isInteger(time) && formatBackupTime(time) === name ? time : undefined;
}
