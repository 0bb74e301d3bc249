import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatBackupTime, parseBackupTime } from '../../src/format/backup-time.js';

test.each([
  [1700000000, '2023-11-14T22:13:20Z'],
  [0, '1970-01-01T00:00:00Z'],
  [-1, '1969-12-31T23:59:59Z'],
  [951782400, '2000-02-29T00:00:00Z'],
  [253402300799, '9999-12-31T23:59:59Z'],
  [-62167219200, '0000-01-01T00:00:00Z'],
])('%i is %s', (time, name) => {
  expect(formatBackupTime(time)).toBe(name);
  expect(parseBackupTime(name)).toBe(time);
});

test('every second of ten thousand years comes back', () => {
  fc.assert(
    fc.property(fc.integer({ min: -62167219200, max: 253402300799 }), (time) => {
      expect(parseBackupTime(formatBackupTime(time))).toBe(time);
    }),
  );
});

describe('what is not canonical is no name', () => {
  test.each([
    '',
    '2021-02-30T00:00:00Z',
    '2021-02-29T00:00:00Z',
    '2020-13-45T99:99:99Z',
    '2021-01-01T00:00:60Z',
    '2021-01-01T24:00:00Z',
    '2021-01-01T00:00:00',
    '2021-01-01T00:00:00z',
    '2021-01-01 00:00:00Z',
    '2021-01-01T00:00:00+00:00',
    '2021-01-01T00:00:00.000Z',
    '2021-1-01T00:00:00Z',
    '12021-01-01T00:00:00Z',
    '2021-01-01T00:00:00Z\n',
    ' 2021-01-01T00:00:00Z',
    '2021-01-01T00:00:00Z/',
    'latest',
  ])('%j', (name) => {
    expect(parseBackupTime(name)).toBeUndefined();
  });

  test('any text of the form', () => {
    const digits = (count: number) => fc.stringMatching(new RegExp(`^[0-9]{${count}}$`));
    const parts = fc.tuple(digits(4), digits(2), digits(2), digits(2), digits(2), digits(2));
    fc.assert(
      fc.property(parts, ([year, month, day, hour, minute, second]) => {
        const name = `${year}-${month}-${day}T${hour}:${minute}:${second}Z`;
        const time = parseBackupTime(name);
        if (time !== undefined) expect(formatBackupTime(time)).toBe(name);
        const daysMax = new Date(Date.UTC(2000 + (Number(year) % 400), Number(month), 0)).getUTCDate();
        const real = +month >= 1 && +month <= 12 && +day >= 1 && +day <= daysMax && +hour <= 23 && +minute <= 59 && +second <= 59;
        expect(time !== undefined).toBe(real);
      }),
      { numRuns: 2000 },
    );
  });
});

test.each([NaN, 0.5, 253402300800, -62167219201, Infinity])('%d is no time', (time) => {
  expect(() => formatBackupTime(time)).toThrow(expect.objectContaining({ code: 'BAD_NAME' }));
});
