/** Format: protocol, section 1. What a task is called. */
import { hostname } from 'node:os';
import { readFileSync } from 'node:fs';
import { isSafeId } from '../format/safe-id.js';

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

export function nodeName(): string {
  const name = hostname().split('.', 1)[0] ?? '';
  return isSafeId(name) ? name : 'localhost';
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
