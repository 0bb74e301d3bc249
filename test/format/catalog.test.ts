import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import {
  catalogMagic,
  catalogPointerBytes,
  checkCatalogMagic,
  decodeCatalogPointer,
  decodeCatalogTable,
  encodeCatalogTable,
  type CatalogEntry,
} from '../../src/format/catalog.js';
import { CatalogWriter } from '../../src/format/catalog-writer.js';
import { encodeVarint } from '../../src/format/varint.js';
import { damages, resultOrCode } from '../support/damage.js';
import { expectedPath } from '../support/fixtures.js';
import { Random, seed } from '../support/random.js';
import { loadStream, streamSources } from './pxar/streams.js';
import { names } from './pxar/trees.js';

const tiny = Buffer.from(
  '91fd60f9c46758d5010011036601610581e2cfaa066c016c640173021201640e726f6f742e707861722e64696478121c00000000000000',
  'hex',
);
const larger = Buffer.from(
  '91fd60f9c46758d51b046603626967808080808020d285d8cc84006801687001707301711b0466036f6c64ac02810064037375621c620376646163047a65' +
    '726f01002202640e686f6d652e707861722e646964781e640d6574632e707861722e64696478024200000000000000',
  'hex',
);

interface Listed {
  readonly depth: number;
  readonly path: readonly Buffer[];
  readonly entry: CatalogEntry;
}

/** Everything below the root table, directories before what is in them. */
function list(catalog: Buffer): Listed[] {
  checkCatalogMagic(catalog.subarray(0, catalogMagic.length));
  const root = decodeCatalogPointer(catalog.subarray(-catalogPointerBytes), catalog.length);
  const found: Listed[] = [];
  const open: { path: readonly Buffer[]; entry: CatalogEntry }[] = [];
  const enter = (position: number, path: readonly Buffer[]): void => {
    const decoded = decodeCatalogTable(catalog.subarray(position, -catalogPointerBytes), position);
    if ('needBytes' in decoded) throw new Error('cut off');
    open.push(...decoded.value.toReversed().map((entry) => ({ path: [...path, entry.name], entry })));
  };
  enter(root, []);
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    found.push({ depth: next.path.length, ...next });
    if (next.entry.kind === 'directory') enter(next.entry.tablePosition, next.path);
  }
  return found;
}

function write(make: (writer: CatalogWriter) => void): Buffer {
  const parts: Buffer[] = [];
  const writer = new CatalogWriter((bytes) => parts.push(bytes));
  make(writer);
  writer.finish();
  return Buffer.concat(parts);
}

/** Writes what `list` gave. */
function rewrite(listed: readonly Listed[]): Buffer {
  return write((writer) => {
    let depth = 0;
    for (const item of listed) {
      for (; depth >= item.depth; depth--) writer.closeDirectory();
      if (item.entry.kind === 'directory') {
        writer.openDirectory(item.entry.name);
        depth = item.depth;
      } else writer.add(item.entry);
    }
    for (; depth > 0; depth--) writer.closeDirectory();
  });
}

function described(listed: readonly Listed[]): unknown[] {
  return listed.map(({ path, entry }) => {
    const { kind } = entry;
    const text = path.map((name) => name.toString()).join('/');
    return kind === 'file' ? [kind, text, entry.size, entry.mtimeSec] : [kind, text];
  });
}

describe('vectors', () => {
  it('reads the smaller', () => {
    expect(described(list(tiny))).toEqual([
      ['directory', 'root.pxar.didx'],
      ['file', 'root.pxar.didx/a', 5, 1700000001],
      ['symlink', 'root.pxar.didx/l'],
      ['directory', 'root.pxar.didx/s'],
    ]);
  });

  it('reads the larger', () => {
    expect(described(list(larger))).toEqual([
      ['directory', 'home.pxar.didx'],
      ['file', 'home.pxar.didx/old', 300, -1],
      ['directory', 'home.pxar.didx/sub'],
      ['file', 'home.pxar.didx/sub/big', 2 ** 40, -1234567890],
      ['hardlink', 'home.pxar.didx/sub/h'],
      ['fifo', 'home.pxar.didx/sub/p'],
      ['socket', 'home.pxar.didx/sub/q'],
      ['blockdev', 'home.pxar.didx/vda'],
      ['chardev', 'home.pxar.didx/zero'],
      ['directory', 'etc.pxar.didx'],
    ]);
  });

  test.each([
    ['smaller', tiny],
    ['larger', larger],
  ])('writes the %s', (_which, catalog) => {
    expect(rewrite(list(catalog))).toEqual(catalog);
  });
});

describe.each(streamSources('.pcat1.didx').map((source) => ({ label: `${source.store} ${source.snapshot.path}`, source })))(
  '$label',
  ({ source }) => {
    it('lists what the real client lists, and is written the same', async () => {
      const { bytes } = await loadStream(source);
      const listed = list(bytes);
      const expected = readFileSync(expectedPath(source.store, `${source.snapshot.path}/catalog.txt`), 'utf8').trimEnd();
      expect(listed.map(dumped)).toEqual(expected.split('\n'));
      expect(rewrite(listed).equals(bytes)).toBe(true);
    });

    it(`does not break when it is damaged (seed ${seed})`, async () => {
      const { bytes } = await loadStream(source);
      for (const { what, bytes: damaged } of damages(bytes, 40, new Random(seed))) resultOrCode(what, () => visit(damaged));
    });
  },
);

/** A line as the real client prints it. */
function dumped({ path, entry }: Listed): string {
  const letters = { directory: 'd', file: 'f', symlink: 'l', hardlink: 'h', blockdev: 'b', chardev: 'c', fifo: 'p', socket: 's' };
  const name = `${letters[entry.kind]} "./${path.map(quoted).join('/')}"`;
  if (entry.kind !== 'file') return name;
  return `${name} ${entry.size} ${new Date(entry.mtimeSec * 1000).toISOString().replace('.000Z', 'Z')}`;
}

/** Valid UTF-8 with \t, \n, \r, quotes and backslash escaped and what is not printable as \u{}, other bytes as \xNN. */
function quoted(name: Buffer): string {
  let text = '';
  for (let at = 0; at < name.length;) {
    const length = [1, 2, 3, 4].find((bytes) => isCharacter(name.subarray(at, at + bytes)));
    if (length === undefined) text += `\\x${(name[at++] ?? 0).toString(16).toUpperCase().padStart(2, '0')}`;
    else text += escaped(name.toString('utf8', at, (at += length)));
  }
  return text;
}

function isCharacter(bytes: Buffer): boolean {
  const text = bytes.toString();
  return [...text].length === 1 && Buffer.from(text).equals(bytes);
}

function escaped(character: string): string {
  const short: Record<string, string> = { '\t': '\\t', '\n': '\\n', '\r': '\\r', '"': '\\"', '\\': '\\\\', '\0': '\\0' };
  const code = character.codePointAt(0) ?? 0;
  const hidden = /[\p{Cc}\p{Mn}\p{Me}\p{Cf}\p{Zl}\p{Zp}\p{Cn}\p{Co}]|(?! )\p{Zs}/u.test(character);
  return short[character] ?? (hidden ? `\\u{${code.toString(16)}}` : character);
}

/** Reads as far as it goes. A table is read once: damage can make tables share children. */
function visit(catalog: Buffer): number {
  checkCatalogMagic(catalog.subarray(0, catalogMagic.length));
  const open = [decodeCatalogPointer(catalog.subarray(-catalogPointerBytes), catalog.length)];
  const seen = new Set<number>();
  for (let position = open.pop(); position !== undefined; position = open.pop()) {
    if (seen.has(position)) continue;
    seen.add(position);
    const decoded = decodeCatalogTable(catalog.subarray(position, -catalogPointerBytes), position);
    if ('needBytes' in decoded) continue;
    for (const entry of decoded.value) if (entry.kind === 'directory') open.push(entry.tablePosition);
  }
  return seen.size;
}

describe('tables', () => {
  const position = 1_000_000;
  const size = fc.maxSafeInteger().map(Math.abs);
  const plain = fc.constantFrom('symlink', 'hardlink', 'blockdev', 'chardev', 'fifo', 'socket');
  const entries: fc.Arbitrary<CatalogEntry[]> = fc.array(
    fc.oneof<fc.Arbitrary<CatalogEntry>[]>(
      fc.record({ kind: fc.constant('directory'), name: names, tablePosition: fc.integer({ min: 8, max: position - 1 }) }),
      fc.record({ kind: fc.constant('file'), name: names, size, mtimeSec: fc.maxSafeInteger() }),
      fc.record({ kind: plain, name: names }),
    ),
  );

  it('come back as they were written, from exactly their bytes', () => {
    fc.assert(
      fc.property(entries, (given) => {
        const bytes = encodeCatalogTable(given, position);
        expect(decodeCatalogTable(Buffer.concat([bytes, Buffer.alloc(3)]), position)).toEqual({
          value: given,
          bytes: bytes.length,
        });
        const short = decodeCatalogTable(bytes.subarray(0, -1), position);
        expect('needBytes' in short && short.needBytes).toBe(bytes.length);
      }),
      { seed },
    );
  });

  const table = (...body: readonly number[]): Buffer => Buffer.concat([encodeVarint(body.length), Buffer.from(body)]);

  test.each<[string, Buffer, string]>([
    ['of no bytes', table(), 'BAD_STRUCTURE'],
    ['with more than its entries', table(0, 0), 'BAD_STRUCTURE'],
    ['with less than its entries', table(2, 0x6c, 1, 0x61), 'BAD_STRUCTURE'],
    ['with more entries than fit', table(0xff, 0xff, 0xff, 0x7f), 'BAD_STRUCTURE'],
    ['with an unknown kind', table(1, 0x78, 1, 0x61), 'BAD_STRUCTURE'],
    ['with a name longer than it', table(1, 0x6c, 5, 0x61), 'BAD_STRUCTURE'],
    ['with a name of 4096 bytes', table(1, 0x6c, 0x80, 0x20, 0x61), 'LIMIT_EXCEEDED'],
    ['with an empty name', table(1, 0x6c, 0, 0x61), 'BAD_NAME'],
    ['with the name ..', table(1, 0x6c, 2, 0x2e, 0x2e), 'BAD_NAME'],
    ['with a name with a slash', table(1, 0x6c, 2, 0x61, 0x2f), 'BAD_NAME'],
    ['that is its own child', table(1, 0x64, 1, 0x61, 0), 'BAD_STRUCTURE'],
    ['with a child before the first table', table(1, 0x64, 1, 0x61, 13), 'BAD_STRUCTURE'],
    ['larger than any', encodeVarint(2 ** 40), 'LIMIT_EXCEEDED'],
  ])('are refused %s', (_what, bytes, code) => {
    expect(resultOrCode('table', () => decodeCatalogTable(bytes, 20))).toEqual({ code });
  });

  it('are refused by the writer if no reader would take them', () => {
    const name = Buffer.alloc(4096, 0x61);
    expect(resultOrCode('name', () => encodeCatalogTable([{ kind: 'fifo', name }], 8))).toEqual({ code: 'LIMIT_EXCEEDED' });
    const directory: CatalogEntry = { kind: 'directory', name: Buffer.from('a'), tablePosition: 9 };
    expect(resultOrCode('position', () => encodeCatalogTable([directory], 8))).toHaveProperty('code');
  });
});

describe('frames', () => {
  it('refuse what is no catalog', () => {
    expect(resultOrCode('magic', () => checkCatalogMagic(Buffer.alloc(8)))).toEqual({ code: 'BAD_MAGIC' });
    expect(resultOrCode('magic', () => checkCatalogMagic(tiny.subarray(0, 7)))).toEqual({ code: 'BAD_MAGIC' });
  });

  test.each([0, 7, 47, 2 ** 40])('refuse a root table at %i', (position) => {
    const pointer = Buffer.alloc(8);
    pointer.writeBigUInt64LE(BigInt(position));
    expect(resultOrCode('pointer', () => decodeCatalogPointer(pointer, tiny.length))).toEqual({ code: 'BAD_STRUCTURE' });
  });

  it('end only when every directory did', () => {
    const writer = new CatalogWriter(() => undefined);
    expect(resultOrCode('close', () => writer.closeDirectory())).toEqual({ code: 'BAD_STRUCTURE' });
    writer.openDirectory(Buffer.from('a.pxar.didx'));
    expect(resultOrCode('finish', () => writer.finish())).toEqual({ code: 'BAD_STRUCTURE' });
    writer.closeDirectory();
    writer.finish();
    expect(resultOrCode('late', () => writer.add({ kind: 'fifo', name: Buffer.from('p') }))).toEqual({ code: 'BAD_STRUCTURE' });
  });
});
