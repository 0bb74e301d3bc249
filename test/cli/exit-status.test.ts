import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { exitStatusOf, exitStatusTexts, exitStatuses } from '../../src/cli/exit-status.js';
import { FileError, FormatError, MountError, StoreError, UsageError } from '../../src/errors.js';

test.each(['docs/mounting.md', 'README.md'])('the table in %s is the one that is used', (name) => {
  const text = readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
  for (const key of Object.keys(exitStatuses) as (keyof typeof exitStatuses)[]) {
    expect(text).toContain(`| ${exitStatuses[key]} | ${exitStatusTexts[key]} |`);
  }
});

describe('errors', () => {
  test.each([
    [new UsageError('x'), 2],
    [new StoreError('NOT_FOUND', 'x'), 3],
    [new StoreError('AMBIGUOUS', 'x'), 3],
    [new StoreError('NO_PERMISSION', 'x'), 4],
    [new StoreError('NOT_A_DATASTORE', 'x'), 5],
    [new MountError('MOUNT_POINT', 'x'), 6],
    [new MountError('BUSY', 'x'), 7],
    [new StoreError('LOCKED', 'x'), 7],
    [new StoreError('MAINTENANCE', 'x'), 7],
    [new FormatError('BAD_CRC', 'x'), 1],
    [new FileError('IS_A_DIRECTORY', 'x'), 1],
    [Object.assign(new Error('x'), { code: 'ENOENT' }), 3],
    [Object.assign(new Error('x'), { code: 'EACCES' }), 4],
    [Object.assign(new Error('x'), { code: 'EPIPE' }), 141],
    [Object.assign(new Error('x'), { code: 'EIO' }), 1],
    [new Error('x'), 1],
    ['x', 1],
  ])('%s', (error, status) => {
    expect(exitStatusOf(error)).toBe(status);
  });
});
