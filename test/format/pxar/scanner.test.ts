import { describe, expect, it, test } from 'vitest';
import { encodeEntry, encodeName } from '../../../src/format/pxar/entry-encoder.js';
import { encodeGoodbye } from '../../../src/format/pxar/goodbye-encoder.js';
import { directoryDepthMax } from '../../../src/format/pxar/item.js';
import { PxarScanner } from '../../../src/format/pxar/scanner.js';
import { resultOrCode } from '../../support/damage.js';
import { scan } from './streams.js';
import { attributesV1, join, metadata } from './vectors.js';

const directory = encodeEntry({ kind: 'directory', metadata: metadata(0o40755) });
const file = encodeEntry({ kind: 'file', metadata: metadata(0o100644), content: { where: 'inline', size: 2 ** 53 - 17 } });
const emptyTable = encodeGoodbye([], { goodbyePosition: 56, entryPosition: 0 });

function failure(stream: Buffer): unknown {
  try {
    return [...scan(stream)];
  } catch (error) {
    return error;
  }
}

describe('a scan', () => {
  it('can begin at any directory', () => {
    const stream = join(attributesV1);
    const scanner = new PxarScanner({ entryPosition: 848 });
    const events = [...scan(stream, scanner)];
    expect(events.map((event) => (event.type === 'entry' ? event.name.toString() : event.type))).toEqual([
      '',
      'hl',
      'sock',
      'directoryEnd',
    ]);
    expect(events.at(-1)).toEqual({
      type: 'directoryEnd',
      depth: 0,
      namePosition: 848,
      entryPosition: 848,
      childCount: 2,
      goodbyePosition: 1029,
      endPosition: 1117,
    });
    expect(scanner.finished).toBe(true);
    expect(scanner.position).toBe(1117);
  });

  it('jumps over the data of files', () => {
    const scanner = new PxarScanner({ entryPosition: 100 });
    const child = Buffer.concat([encodeName(Buffer.from('f')), file.fill(0, 64, 72).fill(0xff, 64, 68)]);
    scanner.next(Buffer.concat([directory, child]), { atStreamEnd: false });
    expect(scanner.position).toBe(156);
    scanner.next(child, { atStreamEnd: false });
    expect(scanner.position).toBe(156 + child.length + 2 ** 32 - 1 - 16);
  });

  it('tells the position of what is wrong', () => {
    const stream = join(attributesV1);
    stream.fill(0, 300, 316);
    expect(failure(stream)).toMatchObject({ code: 'BAD_STRUCTURE', message: expect.stringContaining('position 300') as string });
  });

  test.each<[string, Buffer, string]>([
    ['of nothing', Buffer.alloc(0), 'TRUNCATED'],
    ['that ends after the root entry', directory, 'TRUNCATED'],
    ['that ends before the root table', Buffer.concat([directory, encodeName(Buffer.from('a'))]), 'TRUNCATED'],
    ['that begins with a name', encodeName(Buffer.from('a')), 'BAD_STRUCTURE'],
    [
      'whose root is a fifo',
      Buffer.concat([encodeEntry({ kind: 'fifo', metadata: metadata(0o10644) }), emptyTable]),
      'BAD_STRUCTURE',
    ],
    ['with an entry without name', Buffer.concat([directory, directory]), 'BAD_STRUCTURE'],
    [
      'with a table for other children',
      Buffer.concat([
        directory,
        encodeName(Buffer.from('a')),
        encodeEntry({ kind: 'fifo', metadata: metadata(0o10644) }),
        emptyTable,
      ]),
      'BAD_STRUCTURE',
    ],
    [
      'with a hard link before its start',
      Buffer.concat([
        directory,
        encodeName(Buffer.from('a')),
        encodeEntry({ kind: 'hardlink', metadata: undefined, hardlink: { distance: 57, target: Buffer.from('b') } }),
      ]),
      'BAD_STRUCTURE',
    ],
    [
      'with a file beyond 2^53',
      Buffer.concat([
        directory,
        encodeName(Buffer.from('a')),
        encodeEntry({ kind: 'file', metadata: metadata(0o100644), content: { where: 'inline', size: 2 ** 53 - 17 } }),
      ]),
      'LIMIT_EXCEEDED',
    ],
  ])('refuses a stream %s', (_what, stream, code) => {
    expect(failure(stream)).toMatchObject({ code });
  });

  it('refuses what follows the root', () => {
    const stream = Buffer.concat([directory, emptyTable, Buffer.alloc(16)]);
    const scanner = new PxarScanner();
    expect([...scan(stream, scanner)]).toHaveLength(3);
    expect(resultOrCode('rest', () => scanner.next(stream.subarray(scanner.position), { atStreamEnd: true }))).toEqual({
      code: 'BAD_STRUCTURE',
    });
  });

  it('limits the depth of directories', () => {
    const level = Buffer.concat([encodeName(Buffer.from('d')), directory]);
    const deepest = Buffer.concat([directory, ...Array<Buffer>(directoryDepthMax - 1).fill(level)]);
    expect(failure(deepest)).toMatchObject({ code: 'TRUNCATED' });
    expect(failure(Buffer.concat([deepest, level, level]))).toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  it('decodes 100,000 entries at once', () => {
    const child = Buffer.concat([
      encodeName(Buffer.from('a-name-of-some-length')),
      encodeEntry({ kind: 'file', metadata: metadata(0o100644), content: { where: 'payload', offset: 16, size: 5 } }),
    ]);
    const stream = Buffer.concat([directory, ...Array<Buffer>(100_000).fill(child)]);
    const scanner = new PxarScanner();
    let entries = 0;
    while (scanner.position < stream.length) {
      const window = stream.subarray(scanner.position, scanner.position + 256);
      if ('type' in scanner.next(window, { atStreamEnd: false })) entries++;
    }
    expect(entries).toBe(100_002);
  });
});
