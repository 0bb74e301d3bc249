/** How much of the machine others used while something was measured: the processor time that was not spent by this session. */
import { readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const tickSeconds = 0.01;

/** What is between the fields of /proc/PID/stat that follow the name. @param {string} pid */
function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

const session = statOf('self')[3];

/** Seconds of processor time of all that runs, and of this session with what has ended in it. */
function processorTimes() {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = (readFileSync('/proc/stat', 'latin1').split('\n', 1)[0] ?? '').split(/\s+/).map(Number);
  let own = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const fields = statOf(pid);
    if (fields[3] === session) for (const time of fields.slice(11, 15)) own += Number(time);
  }
  return { all: (user + nice + system + irq + softIrq + steal) * tickSeconds, own: own * tickSeconds };
}

/**
 * What `measure` gives, and the share of the machine (0 to 1) that others used meanwhile.
 * @param {() => Promise<number>} measure
 */
export async function withDisturbance(measure) {
  const before = processorTimes();
  const start = performance.now();
  const value = await measure();
  const seconds = (performance.now() - start) / 1000;
  const after = processorTimes();
  const foreign = after.all - before.all - (after.own - before.own);
  return { value, disturbance: Math.max(0, foreign / seconds / availableParallelism()) };
}
