import { chmodSync, closeSync, copyFileSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { readKeyFiles, unlockKeyFiles } from '../../src/mount/keys.js';
import { findPassword, passwordVariable } from '../../src/mount/password.js';
import { secretVariables } from '../../src/os/credentials.js';
import { keyPath } from '../support/fixtures.js';
import { scratchDirectory } from '../support/scratch.js';

const password = 'correct horse battery staple';
const directory = scratchDirectory();

function copyOfKey(name: 'plain.json' | 'password.json', mode = 0o600): string {
  const path = join(directory, `${mode.toString(8)}-${name}`);
  copyFileSync(keyPath(name), path);
  chmodSync(path, mode);
  return path;
}

function file(name: string, content: string | Uint8Array, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, content, { mode });
  return path;
}

const refuse = (line: string): void => expect.fail(line);

describe('key files', () => {
  test('plain and wrapped, several at once', async () => {
    const found = await readKeyFiles([copyOfKey('plain.json'), copyOfKey('password.json')], refuse);
    const keys = unlockKeyFiles(found, Buffer.from(password));
    expect(new Set(keys.map(({ fingerprintText }) => fingerprintText)).size).toBe(2);
  });

  test.each([0o644, 0o640, 0o604])('mode %o is warned about and taken', async (mode) => {
    const warnings: string[] = [];
    const path = copyOfKey('plain.json', mode);
    expect(await readKeyFiles([path], (line) => warnings.push(line))).toHaveLength(1);
    expect(warnings).toEqual([`key file ${path} can be read by others; chmod 600 ${path}`]);
  });

  test('a password that is missing or wrong names the file', async () => {
    const path = copyOfKey('password.json');
    const found = await readKeyFiles([path], refuse);
    expect(() => unlockKeyFiles(found, undefined)).toThrow(expect.objectContaining({ code: 'PASSWORD_REQUIRED', message: expect.stringContaining(path) }) as Error);
    expect(() => unlockKeyFiles(found, Buffer.from('wrong password'))).toThrow(expect.objectContaining({ code: 'WRONG_PASSWORD', message: expect.stringContaining(path) }) as Error);
  });

  test('what is no key file', async () => {
    const directoryPath = join(directory, 'directory');
    mkdirSync(directoryPath);
    const faults: [string, string, RegExp][] = [
      [join(directory, 'none.json'), 'NOT_FOUND', /does not exist/],
      [directoryPath, 'BAD_KEY_FILE', /is a directory/],
      [file('empty.json', ''), 'BAD_KEY_FILE', /empty\.json: /],
      [file('other.json', '{"a":1}'), 'BAD_KEY_FILE', /other\.json: /],
      [file('large.json', Buffer.alloc(65537, 0x20)), 'BAD_KEY_FILE', /larger than/],
    ];
    for (const [path, code, message] of faults) {
      await expect(readKeyFiles([path], refuse)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    }
    await expect(readKeyFiles(['/dev/zero'], () => undefined)).rejects.toMatchObject({ code: 'BAD_KEY_FILE' });
  });
});

describe('where the password comes from', () => {
  afterEach(() => {
    for (const name of [...secretVariables(passwordVariable), 'CREDENTIALS_DIRECTORY']) Reflect.deleteProperty(process.env, name);
  });

  test('nowhere if no key file needs one', async () => {
    const found = await readKeyFiles([copyOfKey('plain.json')], refuse);
    expect(await findPassword(found, join(directory, 'none'), refuse)).toBeUndefined();
  });

  test('from the environment first, then from a file without its line end', async () => {
    const found = await readKeyFiles([copyOfKey('password.json')], refuse);
    for (const [name, content] of [['lf', `${password}\n`], ['crlf', `${password}\r\nmore\n`], ['bare', password]] as const) {
      const given = await findPassword(found, file(name, content), refuse);
      expect(Buffer.from(given ?? []).toString()).toBe(password);
    }
    process.env[passwordVariable] = 'from the environment';
    expect(Buffer.from((await findPassword(found, join(directory, 'none'), refuse)) ?? []).toString()).toBe('from the environment');
  });

  test('from a descriptor, a file, a command, a credential of systemd, in this order', async () => {
    const found = await readKeyFiles([copyOfKey('password.json')], refuse);
    const fd = openSync(file('by-fd', 'from the descriptor\nnot this\n'), 'r');
    file('proxmox-backup-client.encryption-password', 'from the credential\n');
    const ways: [string, string, string][] = [
      ['CREDENTIALS_DIRECTORY', directory, 'from the credential'],
      [`${passwordVariable}_CMD`, `printf '%s\\nx' "from the command"`, 'from the command'],
      [`${passwordVariable}_FILE`, file('by-name', 'from the file\r\n'), 'from the file'],
      [`${passwordVariable}_FD`, String(fd), 'from the descriptor'],
    ];
    for (const [variable, value, expected] of ways) {
      process.env[variable] = value;
      expect(Buffer.from((await findPassword(found, join(directory, 'none'), refuse)) ?? []).toString(), variable).toBe(expected);
    }
    closeSync(fd);
    process.env[`${passwordVariable}_FD`] = '987654';
    await expect(findPassword(found, undefined, refuse)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringMatching(/PBS_ENCRYPTION_PASSWORD_FD: descriptor 987654/) });
  });

  test('the password of a server has nothing to do with it', async () => {
    process.env['PBS_PASSWORD'] = 'of the server';
    const found = await readKeyFiles([copyOfKey('password.json')], refuse);
    expect(Buffer.from((await findPassword(found, file('its-own', password), refuse)) ?? []).toString()).toBe(password);
    Reflect.deleteProperty(process.env, 'PBS_PASSWORD');
  });

  test('a password file that others can read is warned about', async () => {
    const found = await readKeyFiles([copyOfKey('password.json')], refuse);
    const warnings: string[] = [];
    await findPassword(found, file('open', password, 0o644), (line) => warnings.push(line));
    expect(warnings).toEqual([expect.stringMatching(/^password file .* can be read by others/)]);
  });
});
