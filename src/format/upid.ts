/** Format: protocol, section 1; datastore, section 9. What a task of a server is called. */
import { FormatError } from '../errors.js';

const nodePattern = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?';
const nodeName = new RegExp(`^${nodePattern}$`);
const upidPattern = new RegExp(String.raw`^UPID:${nodePattern}:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8,16}:([0-9A-Fa-f]{8}):[^:\s]+:[^:\s]*:[^:\s]+:$`);

export interface Upid {
  readonly node: string;
  readonly pid: number;
  /** Of the process, in clock ticks since the machine's start. */
  readonly pstart: number;
  readonly taskId: number;
  /** Seconds since 1970. */
  readonly starttime: number;
  readonly type: string;
  readonly id: string | undefined;
  readonly authId: string;
}

export function formatUpid({ node, pid, pstart, taskId, starttime, type, id = '', authId }: Upid): string {
  return `UPID:${node}:${hex(pid)}:${hex(pstart)}:${hex(taskId)}:${hex(starttime)}:${type}:${escapedId(id)}:${authId}:`;
}

/** `/` becomes `-`; what is no letter, digit, dot or underscore, and a leading dot, becomes `\xNN`. */
function escapedId(id: string): string {
  return [...Buffer.from(id)].map((byte, i) => escapedByte(String.fromCharCode(byte), byte, i === 0)).join('');
}

function escapedByte(character: string, byte: number, isFirst: boolean): string {
  if (character === '/') return '-';
  if (/^[A-Za-z0-9_]$/.test(character) || (character === '.' && !isFirst)) return character;
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}

export function isNodeName(name: string): boolean {
  return nodeName.test(name);
}

/** Seconds since 1970. BAD_STRUCTURE. */
export function startOfUpid(upid: string): number {
  const [, start] = upidPattern.exec(upid) ?? [];
  if (start === undefined) throw new FormatError('BAD_STRUCTURE', `${JSON.stringify(upid)} is no UPID`);
  return parseInt(start, 16);
}
