/** Times and medians. */
import { spawn } from 'node:child_process';
import { withDisturbance } from './disturbance.js';

/**
 * Seconds that a shell command takes, and what it printed. Throws when it fails.
 * @param {string} command
 * @returns {Promise<{ seconds: number, output: string }>}
 */
export function timedShell(command) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (/** @type {Buffer} */ data) => (output += data.toString()));
    child.stderr.on('data', (/** @type {Buffer} */ data) => (errors += data.toString()));
    child.on('error', reject);
    child.on('close', (status) => {
      const seconds = (performance.now() - start) / 1000;
      if (status === 0) resolve({ seconds, output });
      else reject(new Error(`${command}: exit status ${status}: ${errors}`));
    });
  });
}

/** @param {string} command */
export async function secondsOf(command) {
  return (await timedShell(command)).seconds;
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** A run is repeated when others used more of the machine than this, at most so many times as often as asked for. */
const disturbanceMax = 0.05;
const repetitionsMax = 4;

/**
 * Runs each variant `runs` times, every round in another order, and gives the medians of the least disturbed ones.
 * @template {string} K
 * @param {number} runs
 * @param {Record<K, () => Promise<number>>} variants
 * @returns {Promise<Record<K, number>>}
 */
export async function inRotation(runs, variants) {
  const names = /** @type {K[]} */ (Object.keys(variants));
  const taken = new Map(names.map((name) => [name, /** @type {{ value: number, disturbance: number }[]} */ ([])]));
  const isDone = (/** @type {K} */ name) => (taken.get(name) ?? []).filter(({ disturbance }) => disturbance <= disturbanceMax).length >= runs;
  for (let round = 0; round < runs * repetitionsMax && !names.every(isDone); round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length];
      if (name !== undefined) taken.get(name)?.push(await withDisturbance(variants[name]));
    }
  }
  const medians = names.map((name) => {
    const quietest = (taken.get(name) ?? []).toSorted((a, b) => a.disturbance - b.disturbance).slice(0, runs);
    const worst = quietest.at(-1)?.disturbance ?? 0;
    if (worst > disturbanceMax) console.error(`  ${name}: others used ${(100 * worst).toFixed(0)} % of the machine`);
    if (process.env['BENCH_VERBOSE'] !== undefined) console.error(`  ${name}:`, quietest);
    return [name, median(quietest.map(({ value }) => value))];
  });
  return /** @type {Record<K, number>} */ (Object.fromEntries(medians));
}
