/** How much of the machine others used while something was measured: the processor time that was not spent by this session. */
import { readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

const tickSeconds = 0.01;
const lookMs = 250;
const waitMsMax = 5000;
const quietShare = 0.05;

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

/** Seconds that others took between two moments, as a share of all processors. @param {ReturnType<typeof moment>} from */
function foreignShare(from) {
  const to = moment();
  const foreign = to.all - from.all - (to.own - from.own);
  return Math.max(0, foreign / (to.seconds - from.seconds) / availableParallelism());
}

function moment() {
  return { seconds: performance.now() / 1000, ...processorTimes() };
}

/** Waits until others leave the machine alone for a moment, but not for long. */
async function quiet() {
  for (let waitedMs = 0; waitedMs < waitMsMax; waitedMs += lookMs) {
    const start = moment();
    await delay(lookMs);
    if (foreignShare(start) < quietShare) return;
  }
}

/**
 * What `measure` gives, and the share of the machine (0 to 1) that others used meanwhile.
 * @param {() => Promise<number>} measure
 */
export async function withDisturbance(measure) {
  await quiet();
  const start = moment();
  const value = await measure();
  return { value, disturbance: foreignShare(start) };
}
