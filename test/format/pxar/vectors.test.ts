/** Section 9.1 to 9.3 of the format's test vectors, by readers and writer. */
import { createHash } from 'node:crypto';
import { describe, expect, it, test } from 'vitest';
import { decodeEntry } from '../../../src/format/pxar/entry-decoder.js';
import type { PxarAcl, PxarMetadata } from '../../../src/format/pxar/entry.js';
import { goodbyeTailMarker } from '../../../src/format/pxar/goodbye.js';
import { decodeItemHeader, itemKinds } from '../../../src/format/pxar/item.js';
import { nameHash, pxarSipKey } from '../../../src/format/pxar/name-hash.js';
import { sipHash24 } from '../../../src/format/pxar/siphash.js';
import type { U64 } from '../../../src/format/pxar/u64.js';
import { PxarWriter, type PxarStreams } from '../../../src/format/pxar/writer.js';
import { complete, contentOf, scan, scanByNeed, walk } from './streams.js';
import {
  attributesPayload,
  attributesV1,
  join,
  metadata,
  tinyPayload,
  tinyV1,
  tinyV2,
  tinyV2GoodbyeWithoutPrelude,
  write,
  type Item,
} from './vectors.js';

describe('SipHash-2-4', () => {
  it('gives the published value', () => {
    const key = { k0: { hi: 0x07060504, lo: 0x03020100 }, k1: { hi: 0x0f0e0d0c, lo: 0x0b0a0908 } };
    expect(text(sipHash24(key, Buffer.from([...Array(15).keys()])))).toBe('a129ca6149be45e5');
  });

  test.each([
    ['', '76614015f8d1bb6c'],
    ['a', '0c26e9067c2c7bcf'],
    ['l', '53720446c9172559'],
    ['s', 'ccae548c9d292361'],
    ['.', '220957d92a111a19'],
    ['hello.txt', '9b1ee0b84c66190c'],
    ['.pxarexclude', '85bddec79cb11d67'],
    ['.pxarexclude-cli', '046975ce672e09eb'],
    ['lost+found', 'edc93cb8247896c7'],
    ['\u00e4.txt', 'e831f970e153239e'],
    ['0123456', 'e72ff47567a4e7e2'],
    ['01234567', 'f908965382193a1f'],
    ['012345678', '9542a749bd4388d7'],
    ['file', '2a226963b4479b15'],
    ['empty', '9c7bd2e4b3b60004'],
    ['sub', '1d68161405af1bd0'],
    ['blk', '5d06b29ce11a6ed9'],
    ['chr', '6f119d4655b08a09'],
    ['fifo', 'b808adae8721840a'],
    ['hl', 'ff2fad2a54ae626e'],
    ['sock', 'd3438ab2c6bbda98'],
  ])('hashes the name %j', (name, hash) => {
    expect(text(nameHash(Buffer.from(name)))).toBe(hash);
  });

  it('has the key that the name of the format gives', () => {
    const digest = createHash('sha1').update('PROXMOX ARCHIVE FORMAT').digest('hex');
    expect(text(pxarSipKey.k0) + text(pxarSipKey.k1)).toBe(digest.slice(0, 32));
  });

  it('makes every item type out of its name', () => {
    const others: Record<string, string> = { FORMAT_VERSION: 'VERSION', ENTRY: 'ENTRY_V2', ENTRY_V1: 'ENTRY' };
    for (const [type, kind] of Object.entries(itemKinds)) {
      const named = others[type] ?? (type.startsWith('PAYLOAD') ? `PXAR_${type}` : type);
      expect(text(nameHash(Buffer.from(`__PROXMOX_FORMAT_${named}__`))), type).toBe(text(kind));
    }
    expect(text(nameHash(Buffer.from('__PROXMOX_FORMAT_PXAR_GOODBYE_TAIL_MARKER__')))).toBe(text(goodbyeTailMarker));
  });
});

describe('the tiny archive', () => {
  const make = (streams: PxarStreams): PxarWriter => {
    const writer = new PxarWriter(streams, metadata(0o40755, { mtime: { sec: 1700000000, nsec: 0 } }));
    const mine = { uid: 1000, gid: 1000 };
    writer.addFile(Buffer.from('a'), metadata(0o100644, { ...mine, mtime: { sec: 1700000001, nsec: 500_000_000 } }), 5);
    writer.write(Buffer.from('hello'));
    const link = metadata(0o120777, { mtime: { sec: 1700000002, nsec: 0 } });
    writer.addSpecial(Buffer.from('l'), { kind: 'symlink', metadata: link, target: Buffer.from('a') });
    writer.openDirectory(Buffer.from('s'), metadata(0o40700, { ...mine, mtime: { sec: 1700000003, nsec: 0 } }));
    writer.closeDirectory();
    return writer;
  };
  const prelude = Buffer.from('{"exclude-patterns":"*.tmp\\n"}');

  it('is written in version 1', () => {
    const { meta } = write(1, undefined, make);
    expect(meta.equals(join(tinyV1))).toBe(true);
    expect(sha256(meta)).toBe('c9644d2bfb05f213f987147194f7eeba28bb3645d2d3a9960fe26b4f9d398697');
  });

  it('is written in version 2 with a prelude', () => {
    const { meta, payload } = write(2, prelude, make);
    expect(meta.equals(join(tinyV2))).toBe(true);
    expect(payload.equals(join(tinyPayload))).toBe(true);
    expect(sha256(meta)).toBe('8035eafa1f6d3d9b3e769eab3a67fde34e8dd6b0b8448641a0702f99d5ca0f42');
    expect(sha256(payload)).toBe('edba01d6030ab961191ef0e8c93228d705f70ffdb6ee152762fb4a5c51992c2c');
  });

  it('is written in version 2 without a prelude', () => {
    const { meta, payload } = write(2, undefined, make);
    expect(sha256(meta)).toBe('b1c7dabdeb0173f782837c3d7fbefdbaaf62a5f947e8284962a62d0d3e97fac1');
    expect(meta.subarray(-112).equals(tinyV2GoodbyeWithoutPrelude)).toBe(true);
    expect(payload.equals(join(tinyPayload))).toBe(true);
  });

  it.each([
    { name: 'version 1', items: tinyV1 },
    { name: 'version 2', items: tinyV2 },
    { name: 'the payload stream', items: tinyPayload },
    { name: 'version 1 with every kind of entry', items: attributesV1 },
    { name: 'its payload stream', items: attributesPayload },
  ])('has known items at known positions: $name', ({ items }) => {
    checkItems(items);
  });

  it('is read in version 2', () => {
    const meta = join(tinyV2);
    const [preamble] = scan(meta);
    expect(preamble).toEqual({ type: 'preamble', version: 2, prelude });
    const found = [...walk(meta)];
    expect(found.map(({ path }) => path.toString())).toEqual(['', 'a', 'l', 's']);
    expect(found[1]?.entry.content).toEqual({ where: 'payload', offset: 16, size: 5 });
    expect(found[2]?.entry.target?.toString()).toBe('a');
    const file = found[1];
    expect(file && contentOf(file.entry, file.itemsEnd, meta, join(tinyPayload)).toString()).toBe('hello');
  });
});

describe('the archive with every kind of entry', () => {
  const acl: PxarAcl = { users: [], groups: [], groupObj: undefined, default: undefined, defaultUsers: [], defaultGroups: [] };
  const at = (second: number, nsec = 0): Pick<PxarMetadata, 'mtime'> => ({ mtime: { sec: 1700000000 + second, nsec } });
  const mine = { uid: 1000, gid: 1000 };
  const root = metadata(0o41777, {
    mtime: { sec: -1, nsec: 999_999_999 },
    acl: {
      ...acl,
      default: { userObj: 7, groupObj: 5, other: 0, mask: 7 },
      defaultUsers: [{ id: 1001, permissions: 6 }],
      defaultGroups: [{ id: 1002, permissions: 4 }],
    },
    projectId: 7,
  });
  const file = metadata(0o104755, {
    uid: 1000,
    gid: 100,
    ...at(13, 123_456_789),
    flags: { hi: 0, lo: 0x102000 },
    xattrs: [{ name: Buffer.from('user.test'), value: Buffer.from('760077', 'hex') }],
    acl: { ...acl, users: [{ id: 1001, permissions: 6 }], groups: [{ id: 1002, permissions: 4 }], groupObj: 5 },
    fcaps: Buffer.from('0100000200040000000000000000000000000000', 'hex'),
  });
  const block = metadata(0o60660, { gid: 6, ...at(10) });
  const fifo = metadata(0o10644, { ...mine, ...at(12) });

  const make = (streams: PxarStreams): PxarWriter => {
    const writer = new PxarWriter(streams, root);
    writer.addSpecial(Buffer.from('blk'), { kind: 'device', metadata: block, device: { major: 8, minor: 1 } });
    writer.addSpecial(Buffer.from('chr'), {
      kind: 'device',
      metadata: metadata(0o20666, at(11)),
      device: { major: 1, minor: 3 },
    });
    writer.addSpecial(Buffer.from('fifo'), { kind: 'fifo', metadata: fifo });
    const target = writer.metaPosition;
    writer.addFile(Buffer.from('file'), file, 3);
    writer.write(Buffer.from('abc'));
    writer.addFile(Buffer.from('empty'), metadata(0o100600, { ...mine, ...at(14) }), 0);
    writer.openDirectory(Buffer.from('sub'), metadata(0o40755, { ...mine, ...at(15) }));
    writer.addHardlink(Buffer.from('hl'), target, Buffer.from('file'));
    writer.addSpecial(Buffer.from('sock'), { kind: 'socket', metadata: metadata(0o140755, { ...mine, ...at(16) }) });
    writer.closeDirectory();
    return writer;
  };

  it('is written in version 1', () => {
    const { meta } = write(1, undefined, make);
    expect(meta.equals(join(attributesV1))).toBe(true);
    expect(sha256(meta)).toBe('a03287e60515525d975229d856e2c18a66d8f0a1c7d19962d393c9e4cdfc44a1');
  });

  it('is written in version 2', () => {
    const { meta, payload } = write(2, undefined, make);
    expect(sha256(meta)).toBe('76afcea79cff3e4112418dfe8abf47fec0eba5246e12aa241ca4490006eeb848');
    expect(sha256(payload)).toBe('3c3b4a268ef96160a6b12dca8bc6ea013594b135cc9546bbe113fcb6561e5a31');
    expect(payload.equals(join(attributesPayload))).toBe(true);
  });

  it.each(['windows as long as can be', 'windows as short as can be'])('is read as it was made, from %s', (windows) => {
    const meta = join(attributesV1);
    const events = [...(windows.includes('long') ? scan(meta) : scanByNeed(meta))];
    const entries = events.flatMap((event) => (event.type === 'entry' ? [event] : []));
    expect(entries.map(({ name, depth, entry }) => [name.toString(), depth, entry.kind])).toEqual([
      ['', 0, 'directory'],
      ['blk', 1, 'device'],
      ['chr', 1, 'device'],
      ['fifo', 1, 'fifo'],
      ['file', 1, 'file'],
      ['empty', 1, 'file'],
      ['sub', 1, 'directory'],
      ['hl', 2, 'hardlink'],
      ['sock', 2, 'socket'],
    ]);
    expect(entries[0]?.entry.metadata).toEqual(root);
    expect(entries[1]?.entry).toEqual({ kind: 'device', metadata: block, device: { major: 8, minor: 1 } });
    expect(entries[3]?.entry).toEqual({ kind: 'fifo', metadata: fifo });
    expect(entries[4]).toMatchObject({ namePosition: 485, entryPosition: 506, endPosition: 734 });
    expect(entries[4]?.entry).toEqual({ kind: 'file', metadata: file, content: { where: 'inline', size: 3 } });
    expect(entries[7]?.entry.hardlink).toEqual({ distance: 0x1a3, target: Buffer.from('file') });
  });

  it('gives the positions that the official accessor gives', () => {
    const byPath = new Map([...walk(join(attributesV1))].map((found) => [found.path.toString(), found]));
    expect(byPath.get('file')).toMatchObject({ namePosition: 485, entryPosition: 506, itemsEnd: 731 });
    expect(byPath.get('empty')).toMatchObject({ itemsEnd: 828 });
    expect(byPath.get('sub')).toMatchObject({ entryPosition: 848, goodbyePosition: 1029 });
    expect(byPath.get('sub/sock')).toMatchObject({ entryPosition: 973, itemsEnd: 1029 });
    expect(byPath.get('sub/hl')).toMatchObject({ namePosition: 904 });
  });
});

it('reads the old form of ENTRY', () => {
  const old = 'ffce1c1c0a85da113000000000000000a4810000000000000000000000000000e8030000e8030000153d2cfa581cda13';
  const content = 'a4810000000000000000000000000000e8030000e8030000d87f43550000000015cd5b0700000000';
  const payloadHeader = join(attributesV1).subarray(812, 828);
  const decoded = [Buffer.from(old, 'hex'), Buffer.from(`efac88e5746495d53800000000000000${content}`, 'hex')].map(
    (stat) => complete(decodeEntry(Buffer.concat([stat, payloadHeader]), { atStreamEnd: true })).value,
  );
  expect(decoded[0]).toEqual(decoded[1]);
  expect(decoded[0]?.metadata?.mtime).toEqual({ sec: 1430487000, nsec: 123_456_789 });
});

function checkItems(items: readonly Item[]): void {
  let position = 0;
  for (const item of items) {
    expect(item.position).toBe(position);
    const header = complete(decodeItemHeader(item.bytes)).value;
    expect(header).toEqual({ type: item.type, contentBytes: item.bytes.length - 16 });
    position += item.bytes.length;
  }
}

function text({ hi, lo }: U64): string {
  return hi.toString(16).padStart(8, '0') + lo.toString(16).padStart(8, '0');
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
