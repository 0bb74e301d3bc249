import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PbsfsError } from '../../src/errors.js';
import { parseOptionString } from '../../src/mount/option-string.js';

const typed = (...texts: string[]) => parseOptionString(texts, { fromMountHelper: false });
const fromHelper = (...texts: string[]) => parseOptionString(texts, { fromMountHelper: true });

test('every word of ours', () => {
  const options = typed('ro,allow_other,keyfile=/a,keyfile=/b,password-file=/p,cache-size=1G', 'ns=prod/eu,driver=kernel,salvage,log=/l,foreground,default_permissions', 'writable,spool=/s,mode=data,crypt-mode=none,master-pubkey=/m');
  expect(options).toEqual({
    keyFiles: ['/a', '/b'],
    passwordFile: '/p',
    cacheSize: '1G',
    namespace: 'prod/eu',
    driver: 'kernel',
    log: '/l',
    spool: '/s',
    mode: 'data',
    cryptMode: 'none',
    masterKey: '/m',
    writable: true,
    salvage: true,
    allowOther: true,
    defaultPermissions: true,
    foreground: true,
    flags: ['ro'],
  });
});

test('a value may have an equals sign', () => {
  expect(typed('keyfile=/a=b').keyFiles).toEqual(['/a=b']);
});

test('what only other programs read, and what the kernel takes, is left to the driver', () => {
  const words = ['defaults', 'noauto', 'nofail', 'user', '_netdev', 'x-systemd.automount', 'x-systemd.requires=network.target', 'noexec', 'noatime', 'nonempty'];
  expect(typed(words.join(',')).flags).toEqual(words);
});

describe('mount(8) adds rw, dev and suid by itself', () => {
  test('from it they mean nothing', () => {
    expect(fromHelper('rw,dev,suid').flags).toEqual([]);
    expect(fromHelper('ro,keyfile=/k,dev,suid')).toMatchObject({ flags: ['ro'], keyFiles: ['/k'] });
    expect(fromHelper('rw,noexec,nosuid,nodev').flags).toEqual(['noexec', 'nosuid', 'nodev']);
  });

  test('from a person they are meant', () => {
    expect(() => typed('rw')).toThrow(/read-only/);
    expect(typed('dev,suid').flags).toEqual(['dev', 'suid']);
  });
});

describe('what is refused', () => {
  test.each([
    ['frobnicate', /'frobnicate'/],
    ['ro,frob=1', /'frob=1'/],
    ['keyfile', /keyfile needs a value/],
    ['keyfile=', /keyfile needs a value/],
    ['salvage=yes', /salvage takes no value/],
    ['remount,ro', /unmount it and mount it again/],
    ['password=secret', /password-file/],
    ['rw', /read-only/],
    ['toString', /'toString'/],
    ['__proto__', /'__proto__'/],
  ])('%s', (text, message) => {
    expect(() => typed(text)).toThrow(expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(message) }) as Error);
  });

  test('anything else is taken or refused with an error of ours', () => {
    const seed = Date.now() & 0x7fffffff;
    const property = fc.property(fc.array(fc.string(), { maxLength: 4 }), fc.boolean(), (texts, fromMountHelper) => {
      try {
        parseOptionString(texts, { fromMountHelper });
      } catch (error) {
        expect(error).toBeInstanceOf(PbsfsError);
      }
    });
    fc.assert(property, { seed, verbose: 1 });
  });
});
