import { describe, expect, test } from 'vitest';
import { parseServerConfiguration } from '../../src/format/server-configuration.js';

const plain = { removable: false, syncLevel: 'filesystem', maintenance: undefined, backend: 'filesystem' } as const;

describe('datastore.cfg', () => {
  test('has sections with members', () => {
    const text = [
      '# a comment',
      'datastore: store1',
      '\tcomment with : and path /wrong',
      '\tgc-schedule daily',
      '\tpath /srv/with space/store1',
      '',
      'datastore:store-2',
      '  path /mnt/x/',
      '\ttuning sync-level=file,chunk-order=none',
      '',
      'other: thing',
      '\tpath /no',
      '',
      'datastore: s3',
      '\tpath /cache',
      '\tbackend type=s3,client=c,bucket=b',
      '\tmaintenance-mode read-only,message="two words, and more"',
      'datastore: usb',
      '\tbacking-device 1234-ABCD',
      '\tpath sub/dir',
      '\tbackend s3',
      '\tmaintenance-mode message="sync",type=offline',
      '\ttuning chunk-order=none,sync-level=none',
    ].join('\n');
    expect(parseServerConfiguration(text)).toEqual([
      { ...plain, name: 'store1', path: '/srv/with space/store1' },
      { ...plain, name: 'store-2', path: '/mnt/x/', syncLevel: 'file' },
      { ...plain, name: 's3', path: '/cache', backend: 's3', maintenance: 'read-only' },
      { name: 'usb', path: 'sub/dir', removable: true, backend: 's3', maintenance: 'offline', syncLevel: 'none' },
    ]);
  });

  test.each(['', 'nonsense', '\tpath /x', 'datastore: \n\tpath /x', 'datastore: ../x\n\tpath /x'])('%j has no datastore', (text) => {
    expect(parseServerConfiguration(text)).toEqual([]);
  });

  test.each(['sync-level=immediately', '', 'x', 'sync-level=', ',,,'])('tuning %j is the default', (tuning) => {
    expect(parseServerConfiguration(`datastore: a\n\tpath /x\n\ttuning ${tuning}\n`)).toEqual([{ ...plain, name: 'a', path: '/x' }]);
  });
});
