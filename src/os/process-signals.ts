/** Whether a thread is about to be ended by a signal. Format: proc_pid_status(5), signal(7). */
import { readFileSync } from 'node:fs';

const bit = (signal: number): bigint => 1n << BigInt(signal - 1);
const SIGKILL = bit(9);
/** SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH: nobody dies of them. */
const harmless = [17, 18, 19, 20, 21, 22, 23, 28].reduce((mask, signal) => mask | bit(signal), 0n);

/** From the text of /proc/TID/status. */
export function isDyingByStatus(status: string): boolean {
  const mask = (field: string): bigint => BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)`, 'm').exec(status)?.[1] ?? '0'}`);
  const pending = mask('SigPnd') | mask('ShdPnd');
  // The kernel marks threads that die of an uncaught signal, except those that dump core, by a pending SIGKILL.
  if ((pending & SIGKILL) !== 0n) return true;
  return (pending & ~mask('SigBlk') & ~mask('SigIgn') & ~mask('SigCgt') & ~harmless) !== 0n;
}

/** True also for a thread that is gone or that may not be looked at. */
export function isDying(thread: number): boolean {
  try {
    return isDyingByStatus(readFileSync(`/proc/${thread}/status`, 'latin1'));
  } catch {
    return true;
  }
}
