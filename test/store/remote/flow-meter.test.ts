/** How much is asked for at once: what the link holds, as far as it comes in time. */
import { afterEach, expect, it, vi } from 'vitest';
import { FlowMeter } from '../../../src/store/remote/flow-meter.js';

const mebibyte = 1 << 20;

afterEach(() => {
  vi.useRealTimers();
});

it('is little before anything was measured', () => {
  expect(new FlowMeter(60_000).bytesInFlightMax(undefined)).toBe(8 * mebibyte);
});

it.each<[string, number, number, number, number]>([
  ['a slow link: what comes in a quarter of the time', 600, 50, 60_000, 600 * 15_000],
  ['a very slow one: a chunk', 100, 50, 60_000, 4 * mebibyte],
  ['little time: a chunk', 5000, 50, 2000, 4 * mebibyte],
  ['a usual one', 10_000, 5, 60_000, 32 * mebibyte],
  ['a long way', 200_000, 100, 60_000, 60_000_000],
  ['a very long one', 1_000_000, 200, 60_000, 128 * mebibyte],
])('%s', (_name, bytesPerMs, roundTripMs, timeoutMs, expected) => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const meter = new FlowMeter(timeoutMs);
  meter.begin();
  vi.advanceTimersByTime(300);
  meter.end(300 * bytesPerMs);
  expect(meter.bytesInFlightMax(roundTripMs)).toBe(expected);
});

it('follows a link that gets faster within a second', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const meter = new FlowMeter(60_000);
  for (const bytesPerMs of [10, 50_000, 50_000, 50_000]) {
    meter.begin();
    vi.advanceTimersByTime(250);
    meter.end(250 * bytesPerMs);
  }
  expect(meter.bytesInFlightMax(5)).toBe(32 * mebibyte);
});
