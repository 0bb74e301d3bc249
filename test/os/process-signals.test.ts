import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { isDying, isDyingByStatus } from '../../src/os/process-signals.js';

const status = ({ own = 0n, shared = 0n, blocked = 0n, ignored = 0n, caught = 0n }): string =>
  Object.entries({ SigPnd: own, ShdPnd: shared, SigBlk: blocked, SigIgn: ignored, SigCgt: caught })
    .map(([name, mask]) => `${name}:\t${mask.toString(16).padStart(16, '0')}\n`)
    .join('');
const bits = (...signals: number[]): bigint => signals.reduce((mask, signal) => mask | (1n << BigInt(signal - 1)), 0n);

describe('of a status', () => {
  test.each([
    ['nothing pending', {}, false],
    ['SIGKILL', { own: bits(9) }, true],
    ['SIGKILL beside a handled signal', { own: bits(9), shared: bits(2), caught: bits(2) }, true],
    ['SIGQUIT', { shared: bits(3) }, true],
    ['a real-time signal', { own: bits(64) }, true],
    ['SIGINT handled', { shared: bits(2), caught: bits(2) }, false],
    ['SIGINT ignored', { shared: bits(2), ignored: bits(2) }, false],
    ['SIGINT blocked', { shared: bits(2), blocked: bits(2) }, false],
    ['what stops, continues or informs', { own: bits(17, 18, 19, 20, 21, 22, 23, 28) }, false],
  ])('%s', (_, masks, dying) => {
    expect(isDyingByStatus(`Name:\tx\n${status(masks)}Cpus_allowed:\t3\n`)).toBe(dying);
  });

  test('without the fields', () => {
    expect(isDyingByStatus('')).toBe(false);
  });
});

test('of a thread', async () => {
  expect(isDying(process.pid)).toBe(false);
  const child = spawn('sleep', ['60']);
  expect(isDying(child.pid ?? expect.unreachable())).toBe(false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(isDying(child.pid ?? expect.unreachable())).toBe(true);
});
