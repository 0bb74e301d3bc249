import { describe, expect, it } from 'vitest';
import { parseAuthId } from '../../src/format/auth-id.js';
import { formatRepository, isRepositoryText, parseRepository } from '../../src/format/repository.js';
import { splitShellWords } from '../../src/format/shell-words.js';

describe('a repository', () => {
  it.each([
    ['store1', 'root@pam', 'localhost', 8007, 'store1'],
    ['pbs.example.com:store1', 'root@pam', 'pbs.example.com', 8007, 'store1'],
    ['1234:store', 'root@pam', '1234', 8007, 'store'],
    ['pbs:1234:store', 'root@pam', 'pbs', 1234, 'store'],
    ['backup@pbs@192.0.2.7:store', 'backup@pbs', '192.0.2.7', 8007, 'store'],
    ['backup@pbs!t-1@[2001:db8::1]:8443:st_o.re', 'backup@pbs!t-1', '[2001:db8::1]', 8443, 'st_o.re'],
    ['a@b@pbs@host:store', 'a@b@pbs', 'host', 8007, 'store'],
  ])('%s', (text, authId, host, port, store) => {
    const repository = parseRepository(text);
    expect(repository).toEqual({ authId, host, port, store });
    expect(formatRepository(repository)).toBe(`${authId}@${host}:${port}:${store}`);
    expect(parseRepository(formatRepository(repository))).toEqual(repository);
  });

  it.each([
    ['', /'' is not the name of a datastore/],
    [':1234:store', /'' is not a host/],
    ['user@pbs@store', /a user needs a host/],
    ['root@host:store', /'root' is not|"root"/],
    ['host:99999:store', /'99999' is not a port/],
    ['host:0:store', /'0' is not a port/],
    ['host:80a:store', /'80a' is not a port/],
    ['2001:db8::1:store', /brackets/],
    ['host:.store', /'.store' is not the name/],
    ['host:st ore', /'st ore' is not the name/],
    ['[::1:store', /brackets|not a host/],
    ['ho st:store', /'ho st' is not a host/],
    [`${'a'.repeat(300)}:store`, /longer than 256/],
  ])('%s is none', (text, message) => {
    let error: unknown;
    try {
      parseRepository(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'BAD_NAME', message: expect.stringMatching(message) as string });
  });

  it('is told from a directory by a colon without a slash', () => {
    expect(['host:store', 'a@pbs@h:s', '[::1]:s'].every(isRepositoryText)).toBe(true);
    expect(['store', './host:store', '/srv/a:b', 'a/b:c', '..'].some(isRepositoryText)).toBe(false);
  });
});

describe('an auth id', () => {
  it.each([
    ['root@pam', 'root@pam', undefined],
    ['backup@pbs!token', 'backup@pbs', 'token'],
    ['a@b@pbs!tok.en-1', 'a@b@pbs', 'tok.en-1'],
    ['what!ever@pbs', 'what!ever@pbs', undefined],
  ])('%s', (text, user, token) => {
    expect(parseAuthId(text)).toEqual({ user, token });
  });

  it.each(['', 'root', '@pam', 'a b@pam', 'a:b@pam', 'a/b@pam', 'a\n@pam', 'a@p', 'a@-pam', `${'a'.repeat(62)}@pam`, 'a@pam!', 'a@pam!a b', `a@pam!${'t'.repeat(65)}`])('%j is none', (text) => {
    expect(() => parseAuthId(text)).toThrow(/is not a user like/);
  });
});

describe('the words of a command', () => {
  it.each<[string, string[]]>([
    ['', []],
    ['  cat   /etc/x ', ['cat', '/etc/x']],
    [`a 'b c' "d e"f g\\ h ''`, ['a', 'b c', 'd ef', 'g h', '']],
    [`"a\\"b\\x" 'c\\'`, ['a"b\\x', 'c\\']],
    ['a$b;c', ['a$b;c']],
  ])('%j', (text, words) => {
    expect(splitShellWords(text)).toEqual(words);
  });
  it.each([`'a`, `"a`, `a\\`, `"a\\"`])('%j has no end', (text) => {
    expect(() => splitShellWords(text)).toThrow(/not closed/);
  });
});
