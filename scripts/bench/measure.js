/** Times and medians. */
import { spawn } from 'node:child_process';

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

/**
 * Runs each variant `runs` times, every round in another order, and gives the medians.
 * @template {string} K
 * @param {number} runs
 * @param {Record<K, () => Promise<number>>} variants
 * @returns {Promise<Record<K, number>>}
 */
export async function inRotation(runs, variants) {
  const names = /** @type {K[]} */ (Object.keys(variants));
  const values = /** @type {Record<K, number[]>} */ (Object.fromEntries(names.map((name) => [name, /** @type {number[]} */ ([])])));
  for (let run = 0; run < runs; run++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + run) % names.length];
      if (name !== undefined) values[name].push(await variants[name]());
    }
  }
  if (process.env['BENCH_VERBOSE'] !== undefined) console.error(values);
  return /** @type {Record<K, number>} */ (Object.fromEntries(names.map((name) => [name, median(values[name])])));
}
