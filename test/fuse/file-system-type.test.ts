import fc from 'fast-check';
import { expect, test } from 'vitest';
import { printableSource } from '../../src/fuse/file-system-type.js';

test.each([
  ['/srv/store', '/srv/store'],
  ['backup@pbs!ro@pbs.example.com:store1', 'backup@pbs_ro@pbs.example.com:store1'],
  ['/srv/my store; rm -rf $HOME', '/srv/my_store__rm_-rf__HOME'],
  ['a,b\\c', 'a_b_c'],
  ['-o', '_o'],
  ['', 'pbsfs'],
  ['/srv/\u00fcber', '/srv/\u00fcber'],
])('%s', (source, shown) => {
  expect(printableSource(source)).toBe(shown);
});

test('nothing that means something to a shell or in a list of options', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (source) => {
      expect(printableSource(source)).not.toMatch(/[\s;&|$\\`()<>'"*?!#,]|^-|^$/);
    }),
    { seed: Date.now() & 0x7fffffff },
  );
});
