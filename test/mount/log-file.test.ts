import { statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { defaultLogPath, openLog } from '../../src/mount/log-file.js';
import { scratchDirectory } from '../support/scratch.js';

test('one name for each mount point', () => {
  expect(defaultLogPath('/mnt/pbs')).toMatch(/\/pbsfs\/mnt-pbs\.log$/);
  expect(defaultLogPath('/mnt-pbs')).toMatch(/\/pbsfs\/mnt\\x2dpbs\.log$/);
  expect(defaultLogPath('/mnt/a b')).toMatch(/\/pbsfs\/mnt-a\\x20b\.log$/);
});

test('its directory is made, and both are for the owner only', async () => {
  const path = join(scratchDirectory(), 'a/b/log');
  await (await openLog(path)).close();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700);
});

test('where it can not be written, the error says what to do', async () => {
  await expect(openLog('/dev/null/log')).rejects.toMatchObject({ code: 'MOUNT_FAILED', message: expect.stringContaining('--log FILE') });
});
