import { execFileSync, spawn } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { chmodSync, chownSync, copyFileSync, existsSync, lstatSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import qrCode from 'qrcode';
import { describe, expect, test } from 'vitest';
import { unwrapKeyFile } from '../../src/crypto/key-wrap.js';
import { decryptWithMasterKey, encryptWithMasterKey } from '../../src/crypto/master-key.js';
import { parseKeyFile } from '../../src/format/key-file.js';
import { pbsfs, program, runProgram, type Ended, type RunOptions } from '../support/command.js';
import { keyPath, storePath } from '../support/fixtures.js';
import { scratchDirectory } from '../support/scratch.js';
import { decodeStored, finishedSnapshots, readStored } from '../support/stored-files.js';

const fixturePassword = 'correct horse battery staple';
const masterPassword = 'master fixture passphrase';
const directory = scratchDirectory();
let count = 0;

function place(name: string): string {
  return join(directory, `${count++}-${name}`);
}

function secret(content: string): string {
  const path = place('secret');
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

function ownKey(name: 'plain.json' | 'password.json'): string {
  const path = place(name);
  copyFileSync(keyPath(name), path);
  chmodSync(path, 0o600);
  return path;
}

function key(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return pbsfs(['key', ...args], options);
}

const withPassword = (password: string): RunOptions => ({ env: { PBS_ENCRYPTION_PASSWORD: password } });

function readKey(path: string): ReturnType<typeof parseKeyFile> {
  return parseKeyFile(readFileSync(path));
}

/** Within the last minute, as RFC 3339 with an offset. */
function expectNow(time: string): void {
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/);
  expect(Math.abs(Date.now() - Date.parse(time))).toBeLessThan(60_000);
}

describe('show', () => {
  test('the fixtures', async () => {
    const fingerprints = new Set(finishedSnapshots('vault').map(({ fingerprint }) => fingerprint));
    for (const [name, kdf] of [['plain.json', 'none'], ['password.json', 'scrypt']] as const) {
      const path = ownKey(name);
      const shown = await key(['show', '--json', path]);
      expect(shown).toMatchObject({ status: 0, stderr: '' });
      const facts = JSON.parse(shown.stdout) as { fingerprint: string };
      const { created, modified } = readKey(path);
      expect(facts).toEqual({ path, kdf, created, modified, fingerprint: expect.any(String), hint: null });
      expect(fingerprints).toContain(facts.fingerprint);
      const text = await key(['show', path]);
      expect(text.stdout).toContain(`fingerprint  ${facts.fingerprint}\n`);
    }
  });

  test('a file of old that does not say its fingerprint', async () => {
    for (const name of ['plain.json', 'password.json'] as const) {
      const { fingerprint, ...old } = JSON.parse(readFileSync(keyPath(name), 'utf8')) as Record<string, unknown>;
      const shown = await key(['show', '--json', secret(JSON.stringify({ ...old, hint: null }))]);
      expect(JSON.parse(shown.stdout)).toMatchObject({ fingerprint: name === 'plain.json' ? fingerprint : null });
    }
  });

  test('what is not there, or no key', async () => {
    expect(await key(['show', place('none')])).toMatchObject({ status: 3 });
    expect(await key(['show', secret('{}')])).toMatchObject({ status: 4, stderr: expect.stringMatching(/the key file is not valid/) });
  });
});

describe('create', () => {
  test('with a password, by scrypt', async () => {
    const path = place('key.json');
    const made = await key(['create', '--json', '--hint', 'the usual', path], withPassword('secret words'));
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect(lstatSync(path).mode & 0o7777).toBe(0o600);
    const file = readKey(path);
    expect(file).toMatchObject({ kdf: { type: 'scrypt', n: 65536, r: 8, p: 1 }, hint: 'the usual' });
    expectNow(file.created);
    expect(file.modified).toBe(file.created);
    const opened = unwrapKeyFile(file, Buffer.from('secret words'));
    expect(JSON.parse(made.stdout)).toEqual({ path, kdf: 'scrypt', created: file.created, modified: file.created, fingerprint: opened.fingerprintText, hint: 'the usual' });
    expect(Object.keys(JSON.parse(readFileSync(path, 'utf8')) as object)).toEqual(['kdf', 'created', 'modified', 'data', 'fingerprint', 'hint']);
  });

  test('two keys are not the same, nor are their salts', async () => {
    const [a, b] = [place('a'), place('b')];
    for (const path of [a, b]) await key(['create', path], withPassword('secret'));
    expect(unwrapKeyFile(readKey(a), Buffer.from('secret')).fingerprintText).not.toBe(unwrapKeyFile(readKey(b), Buffer.from('secret')).fingerprintText);
    expect(JSON.stringify(readKey(a).kdf)).not.toBe(JSON.stringify(readKey(b).kdf));
  });

  test('by pbkdf2, with a password file', async () => {
    const path = place('key.json');
    expect(await key(['create', '--kdf', 'pbkdf2', '--password-file', secret('from a file\n'), path])).toMatchObject({ status: 0, stderr: '' });
    expect(readKey(path).kdf).toMatchObject({ type: 'pbkdf2', iterations: 65535 });
    unwrapKeyFile(readKey(path), Buffer.from('from a file'));
  });

  test('without a password nothing is asked', async () => {
    const path = place('key.json');
    expect(await key(['create', '--kdf', 'none', path])).toMatchObject({ status: 0, stderr: '' });
    expect(readKey(path).kdf).toEqual({ type: 'none' });
  });

  test('at the default place, whose directories are made', async () => {
    const home = scratchDirectory();
    const env = { HOME: home, XDG_CONFIG_HOME: '' };
    expect(await key(['create', '--kdf', 'none'], { env })).toMatchObject({ status: 0 });
    expect(statSync(join(home, '.config')).mode & 0o777).toBe(0o700);
    expect(statSync(join(home, '.config/proxmox-backup')).mode & 0o777).toBe(0o700);
    expect(existsSync(join(home, '.config/proxmox-backup/encryption-key.json'))).toBe(true);
    const shown = await key(['show', '--json'], { env });
    expect(JSON.parse(shown.stdout)).toMatchObject({ path: join(home, '.config/proxmox-backup/encryption-key.json') });
    expect(await key(['create', '--kdf', 'none'], { env })).toMatchObject({ status: 8 });

    const configured = join(scratchDirectory(), 'config');
    expect(await key(['create', '--kdf', 'none'], { env: { ...env, XDG_CONFIG_HOME: configured } })).toMatchObject({ status: 0 });
    expect(readdirSync(join(configured, 'proxmox-backup'))).toEqual(['encryption-key.json']);
  });

  test('never over anything, and before a password is asked for', async () => {
    const link = place('link');
    symlinkSync('/nonexistent', link);
    for (const path of [ownKey('plain.json'), directory, link]) {
      const before = lstatSync(path);
      expect(await key(['create', path])).toMatchObject({ status: 8, stderr: expect.stringMatching(/exists and is not overwritten/) });
      expect(lstatSync(path)).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
    }
  });

  test.each([
    ['a short password', ['--kdf', 'scrypt'], 'four', 4, /at least 5 bytes/],
    ['a hint that is the password', ['--hint', 'secret'], 'secret', 2, /password itself/],
    ['a hint to nothing', ['--kdf', 'none', '--hint', 'x'], 'secret', 2, /no meaning without a password/],
    ['a long hint', ['--hint', 'x'.repeat(65)], 'secret', 2, /at most 64/],
    ['an unknown kdf', ['--kdf', 'argon2'], 'secret', 2, /none of scrypt, pbkdf2, none/],
    ['an option of another', ['--subject', 'x'], 'secret', 2, /--subject has no meaning for pbsfs key create/],
  ])('%s', async (_what, options, password, status, message) => {
    const path = place('key.json');
    expect(await key(['create', ...options, path], withPassword(password))).toMatchObject({ status, stderr: expect.stringMatching(message) });
    expect(existsSync(path)).toBe(false);
  });

  test('in a directory that is not there', async () => {
    expect(await key(['create', '--kdf', 'none', join(place('none'), 'key.json')])).toMatchObject({ status: 3, stderr: expect.stringMatching(/there is no directory/) });
  });

  test('without a terminal', async () => {
    const ended = await runProgram('setsid', ['-w', process.execPath, program, 'key', 'create', place('key.json')]);
    expect(ended).toMatchObject({ status: 4, stderr: expect.stringMatching(/needs a password; set PBS_ENCRYPTION_PASSWORD or use --password-file/) });
  });

  /** Types the lines one after the other, each when the program has asked. */
  async function atTerminal(args: readonly string[], lines: readonly string[]): Promise<{ status: number; text: string }> {
    const quoted = [process.execPath, program, 'key', ...args].map((word) => `'${word}'`).join(' ');
    const child = spawn('script', ['-qec', quoted, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const waiting = [...lines];
    let text = '';
    child.stdout.on('data', (piece: Buffer) => {
      text += piece.toString();
      const next = /: $/.test(text) ? waiting.shift() : undefined;
      if (next !== undefined) child.stdin.write(`${next}\r`);
    });
    const status = await new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)));
    return { status, text };
  }

  test('at a terminal the password is asked twice and not shown', async () => {
    const path = place('key.json');
    const { status, text } = await atTerminal(['create', path], ['typed words', 'typed words']);
    expect(status).toBe(0);
    expect(text).toContain(`new password of key file ${path}: `);
    expect(text).not.toContain('typed words');
    unwrapKeyFile(readKey(path), Buffer.from('typed words'));
  });

  test('at a terminal, two that differ', async () => {
    const path = place('key.json');
    const { status, text } = await atTerminal(['create', path], ['typed words', 'typed worse']);
    expect({ status, exists: existsSync(path) }).toEqual({ status: 2, exists: false });
    expect(text).toContain('the passwords differ');
  });
});

describe('change-passphrase', () => {
  test('another password, the same key', async () => {
    const path = ownKey('password.json');
    chownSync(path, 1234, 1234);
    const before = readKey(path);
    const env = { PBS_ENCRYPTION_PASSWORD: fixturePassword, PBS_NEW_ENCRYPTION_PASSWORD: 'another one' };
    expect(await key(['change-passphrase', '--hint', 'new', path], { env })).toMatchObject({ status: 0, stderr: '' });
    const after = readKey(path);
    expect(after).toMatchObject({ created: before.created, fingerprint: before.fingerprint, hint: 'new' });
    expectNow(after.modified);
    expect(unwrapKeyFile(after, Buffer.from('another one')).encKey).toEqual(unwrapKeyFile(before, Buffer.from(fixturePassword)).encKey);
    expect(statSync(path)).toMatchObject({ uid: 1234, gid: 1234, mode: 0o100600 });
    expect(readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('password files, and a link that stays one', async () => {
    const path = ownKey('password.json');
    const link = place('link.json');
    symlinkSync(path, link);
    const files = ['--password-file', secret(fixturePassword), '--new-password-file', secret('from a file\n')];
    expect(await key(['change-passphrase', ...files, link])).toMatchObject({ status: 0 });
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    unwrapKeyFile(readKey(path), Buffer.from('from a file'));
  });

  test('off and on again', async () => {
    const path = ownKey('password.json');
    expect(await key(['change-passphrase', '--kdf', 'none', path], withPassword(fixturePassword))).toMatchObject({ status: 0 });
    expect(readKey(path)).toMatchObject({ kdf: { type: 'none' } });
    expect(await key(['change-passphrase', path], { env: { PBS_NEW_ENCRYPTION_PASSWORD: 'on again' } })).toMatchObject({ status: 0 });
    unwrapKeyFile(readKey(path), Buffer.from('on again'));
  });

  test('a wrong password changes nothing', async () => {
    const path = ownKey('password.json');
    const before = readFileSync(path);
    for (const env of [
      { PBS_ENCRYPTION_PASSWORD: 'wrong one', PBS_NEW_ENCRYPTION_PASSWORD: 'another one' },
      { PBS_ENCRYPTION_PASSWORD: fixturePassword, PBS_NEW_ENCRYPTION_PASSWORD: 'four' },
    ]) {
      expect(await key(['change-passphrase', path], { env })).toMatchObject({ status: 4 });
      expect(readFileSync(path).equals(before)).toBe(true);
    }
  });
});

describe('master keys', () => {
  const encryptedKeys = finishedSnapshots('vault').filter(({ files }) => files.some(({ filename }) => filename === 'rsa-encrypted.key.blob'));
  const plain = readKey(keyPath('plain.json'));

  test('the key of a snapshot, by the master key of the fixtures: as content and as the blob', async () => {
    const [snapshot] = encryptedKeys;
    const blob = readStored('vault', snapshot?.path ?? '', 'rsa-encrypted.key.blob');
    const content = place('rsa-encrypted.key');
    writeFileSync(content, await decodeStored(blob, 512));
    for (const encrypted of [content, join(storePath('vault'), snapshot?.path ?? '', 'rsa-encrypted.key.blob')]) {
      const path = place('imported.json');
      const env = { PBS_MASTER_PASSWORD: masterPassword, PBS_ENCRYPTION_PASSWORD: 'mine now' };
      expect(await key(['import-with-master-key', keyPath('master-private.pem'), encrypted, path], { env })).toMatchObject({ status: 0 });
      expect(lstatSync(path).mode & 0o7777).toBe(0o600);
      const file = readKey(path);
      expect(file.created).toBe(plain.created);
      expectNow(file.modified);
      expect(unwrapKeyFile(file, Buffer.from('mine now')).encKey).toEqual(unwrapKeyFile(plain).encKey);
    }
  });

  test('all snapshots that have it have the same key', async () => {
    expect(encryptedKeys.length).toBeGreaterThan(3);
    for (const { path, fingerprint } of encryptedKeys) {
      const target = place('imported.json');
      const args = ['import-with-master-key', '--kdf', 'none', '--json', '--master-password-file', secret(masterPassword), keyPath('master-private.pem')];
      const imported = await key([...args, join(storePath('vault'), path, 'rsa-encrypted.key.blob'), target]);
      expect(JSON.parse(imported.stdout)).toMatchObject({ fingerprint });
    }
  });

  test('a wrong password, no encrypted key, another file that is there', async () => {
    const blob = join(storePath('vault'), encryptedKeys[0]?.path ?? '', 'rsa-encrypted.key.blob');
    const run = (encrypted: string, target: string, password = masterPassword) =>
      key(['import-with-master-key', '--kdf', 'none', keyPath('master-private.pem'), encrypted, target], { env: { PBS_MASTER_PASSWORD: password } });
    expect(await run(blob, place('x'), 'wrong one')).toMatchObject({ status: 4, stderr: expect.stringMatching(/password does not fit the master key/) });
    expect(await run(secret('no key'), place('x'))).toMatchObject({ status: 4, stderr: expect.stringMatching(/not encrypted for this master key/) });
    expect(await run(place('none'), place('x'))).toMatchObject({ status: 3 });
    expect(await run(blob, ownKey('plain.json'))).toMatchObject({ status: 8 });
    expect(await key(['import-with-master-key', keyPath('master-private.pem')])).toMatchObject({ status: 2, stderr: expect.stringMatching(/ENCRYPTED-KEY is missing/) });
  });

  test('create-master-key, then a key for it and back', async () => {
    const output = scratchDirectory();
    const made = await key(['create-master-key', '--json', '--output', output], withPassword('master words'));
    const paths = { publicKey: join(output, 'master-public.pem'), privateKey: join(output, 'master-private.pem') };
    expect(JSON.parse(made.stdout)).toEqual(paths);
    expect(statSync(paths.privateKey).mode & 0o7777).toBe(0o600);
    const [publicPem, privatePem] = [readFileSync(paths.publicKey), readFileSync(paths.privateKey)];
    expect(publicPem.toString()).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
    expect(privatePem.toString()).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
    expect(createPrivateKey({ key: privatePem, passphrase: 'master words' }).asymmetricKeyDetails).toMatchObject({ modulusLength: 4096, publicExponent: 65537n });
    // 2.16.840.1.101.3.4.1.42
    expect(Buffer.from(privatePem.toString().replace(/-----.*-----|\s/g, ''), 'base64').includes(Buffer.from('60864801650304012a', 'hex'))).toBe(true);

    const json = readFileSync(keyPath('plain.json'));
    const ciphertext = encryptWithMasterKey(publicPem, json);
    expect(decryptWithMasterKey(privatePem, Buffer.from('master words'), ciphertext)).toEqual(json);

    expect(await key(['create-master-key', '--output', output], withPassword('master words'))).toMatchObject({ status: 8 });
    expect(readFileSync(paths.privateKey).equals(privatePem)).toBe(true);

    const home = scratchDirectory();
    const env = { HOME: home, XDG_CONFIG_HOME: '' };
    expect(await key(['import-master-pubkey', paths.publicKey], { env })).toMatchObject({ status: 0, stdout: `${home}/.config/proxmox-backup/master-public.pem\n` });
    expect(readFileSync(join(home, '.config/proxmox-backup/master-public.pem')).equals(publicPem)).toBe(true);
    expect(await key(['import-master-pubkey', paths.publicKey], { env })).toMatchObject({ status: 8 });
  });

  test('create-master-key in the current directory, and with a short password', async () => {
    const cwd = scratchDirectory();
    expect(await key(['create-master-key'], { cwd, ...withPassword('four') })).toMatchObject({ status: 4 });
    expect(readdirSync(cwd)).toEqual([]);
    expect(await key(['create-master-key'], { cwd, ...withPassword('long enough') })).toMatchObject({ status: 0 });
    expect(readdirSync(cwd).sort()).toEqual(['master-private.pem', 'master-public.pem']);
  });

  test('what is no public master key', async () => {
    const small = place('small.pem');
    const unencrypted = place('private.pem');
    execFileSync('openssl', ['genrsa', '-out', unencrypted, '2048'], { stdio: 'ignore' });
    execFileSync('openssl', ['rsa', '-in', unencrypted, '-pubout', '-out', small], { stdio: 'ignore' });
    const env = { HOME: scratchDirectory(), XDG_CONFIG_HOME: '' };
    for (const [path, message] of [
      [keyPath('master-private.pem'), /is a private master key/],
      [unencrypted, /is a private master key/],
      [small, /2048 bits is too small for 255 bytes/],
      [keyPath('plain.json'), /can't be read/],
    ] as const) {
      expect(await key(['import-master-pubkey', path], { env })).toMatchObject({ status: 4, stderr: expect.stringMatching(message) });
    }
    expect(readdirSync(env.HOME)).toEqual([]);
  });
});

describe('paperkey', () => {
  const modulesOf = (json: string, errorCorrectionLevel: 'L' | 'M'): boolean[][] => {
    const { modules } = qrCode.create(json, { errorCorrectionLevel });
    return Array.from({ length: modules.size }, (_, row) => Array.from({ length: modules.size }, (_unused, column) => modules.get(row, column) === 1));
  };

  test('text: a key file that commands take, and the code of it', async () => {
    const path = ownKey('password.json');
    const printed = await key(['paperkey', '--output-format', 'text', '--subject', 'web servers', path]);
    expect(printed).toMatchObject({ status: 0, stderr: '' });
    expect(printed.stdout).toMatch(/^Subject: web servers\n\n-----BEGIN PROXMOX BACKUP KEY-----\n\{\n/);
    const copy = secret(printed.stdout);
    expect(readKey(copy)).toEqual(readKey(path));
    const listed = await pbsfs(['ls', '--keyfile', copy, storePath('vault'), 'host/password/latest/root.pxar'], withPassword(fixturePassword));
    expect(listed).toMatchObject({ status: 0, stderr: '' });

    // Two rows a line, dark where nothing is printed or the other way round: the finder pattern tells.
    const drawn = printed.stdout.split('-----END PROXMOX BACKUP KEY-----\n')[1]?.split('\n') ?? [];
    const halves: Record<string, [boolean, boolean]> = { ' ': [false, false], '\u2580': [true, false], '\u2584': [false, true], '\u2588': [true, true] };
    const rows = drawn.flatMap((line) => [0, 1].map((half) => [...line].map((character) => halves[character]?.[half] ?? false)));
    const expected = modulesOf(readFileSync(path, 'utf8'), 'L').map((row) => row.map((dark) => (dark ? '#' : '.')).join(''));
    const found = rows.map((row) => row.map((dark) => (dark ? '#' : '.')).join(''));
    const first = found.findIndex((row) => row.includes('#'));
    const column = found[first]?.indexOf('#') ?? -1;
    expect(expected.map((_, i) => found[first + i]?.slice(column, column + expected.length))).toEqual(expected);
  });

  test('html: the same key, the code as a picture, nothing from elsewhere', async () => {
    const path = ownKey('password.json');
    const printed = await key(['paperkey', '--subject', '<b>&"', path]);
    expect(printed.status).toBe(0);
    expect(printed.stdout).toContain('<title>&#60;b&#62;&#38;&#34;</title>');
    expect(printed.stdout).not.toMatch(/<b>|<script|src=|href=|url\(/);
    const text = printed.stdout.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)));
    expect(parseKeyFile(text)).toEqual(readKey(path));

    // Each `M x y`, then dark runs of `h` and steps of `m`, half a unit below the top of their row.
    const [, drawing = ''] = /<path stroke="#000000" d="([^"]+)"/.exec(printed.stdout) ?? [];
    const modules = modulesOf(readFileSync(path, 'utf8'), 'M');
    const dark = modules.map((row) => row.map(() => false));
    let [x, y] = [0, 0];
    for (const [, step = '', a = '', b = ''] of drawing.matchAll(/([Mmh])(-?[\d.]+)(?: (-?[\d.]+))?/g)) {
      if (step === 'M') [x, y] = [Number(a) - 4, Math.floor(Number(b)) - 4];
      else if (step === 'm') x += Number(a);
      else for (const end = x + Number(a); x < end; x++) (dark[y] ?? [])[x] = true;
    }
    expect(dark).toEqual(modules);
  });

  test('a key without password is warned about', async () => {
    const path = ownKey('plain.json');
    expect(await key(['paperkey', path])).toMatchObject({ status: 0, stderr: `pbsfs: ${path} has no password: whoever sees the paper has the key\n` });
  });

  test.each([
    ['--output-format', 'pdf', /neither html nor text/],
    ['--subject', 'two\nlines', /one line/],
    ['--subject', 'x'.repeat(201), /at most 200/],
  ])('%s %s', async (option, value, message) => {
    expect(await key(['paperkey', option, value, ownKey('password.json')])).toMatchObject({ status: 2, stderr: expect.stringMatching(message) });
  });
});

test('the command line', async () => {
  expect(await key([])).toMatchObject({ status: 2 });
  expect(await key(['make'])).toMatchObject({ status: 2, stderr: expect.stringMatching(/'make' is none of create, show/) });
  expect(await key(['show', 'a', 'b'])).toMatchObject({ status: 2, stderr: expect.stringMatching(/'b' is too much/) });
  expect(await key(['create-master-key', 'a'])).toMatchObject({ status: 2, stderr: expect.stringMatching(/takes no file/) });
  const help = await key(['create', '--help']);
  for (const name of ['create', 'show', 'change-passphrase', 'create-master-key', 'import-master-pubkey', 'import-with-master-key', 'paperkey']) {
    expect(help.stdout).toContain(`pbsfs key ${name}`);
  }
  const failed = await key(['show', '--json', place('none')]);
  expect(JSON.parse(failed.stderr)).toMatchObject({ error: { code: 'NOT_FOUND', exitStatus: 3 } });
});
