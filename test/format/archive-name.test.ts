import { describe, expect, test } from 'vitest';
import { archiveKind, logicalName } from '../../src/format/archive-name.js';
import { finishedSnapshots, fixtureStores } from '../support/stored-files.js';

describe.each(fixtureStores)('files of %s', (store) => {
  test('are of the expected kind', () => {
    for (const { files } of finishedSnapshots(store)) {
      for (const { filename, kind } of files) expect(archiveKind(filename)).toBe(kind);
    }
  });
});

test.each([
  ['drive-scsi0.img.fidx', 'fixed', 'drive-scsi0.img'],
  ['root.pxar.didx', 'dynamic', 'root.pxar'],
  ['root.mpxar.didx', 'dynamic', 'root.mpxar'],
  ['catalog.pcat1.didx', 'dynamic', 'catalog.pcat1'],
  ['qemu-server.conf.blob', 'blob', 'qemu-server.conf'],
  ['index.json.blob', 'blob', 'index.json'],
  ['x.blob', 'blob', 'x'],
])('%s', (name, kind, logical) => {
  expect(archiveKind(name)).toBe(kind);
  expect(logicalName(name)).toBe(logical);
});

test.each([
  '',
  'didx',
  '.didx',
  '.protected',
  'a.img.tmp_fidx',
  'index.json.tmp_a1B2c3',
  'a.fidx.bak',
  'a.FIDX',
  'a.fidx\n',
  '../a.blob',
  'a/b.blob',
  'a b.blob',
  '-a.blob',
  '\u00e4.blob',
  'a\0.blob',
  `${'a'.repeat(251)}.blob`,
])('%j is no archive', (name) => {
  expect(archiveKind(name)).toBeUndefined();
});
