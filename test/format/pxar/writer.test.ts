import { describe, expect, it, test } from 'vitest';
import { decodeGoodbyeTable, decodeGoodbyeTail } from '../../../src/format/pxar/goodbye.js';
import { PxarWriter } from '../../../src/format/pxar/writer.js';
import { directoryDepthMax } from '../../../src/format/pxar/item.js';
import { resultOrCode } from '../../support/damage.js';
import { scan, walk } from './streams.js';
import { metadata, write } from './vectors.js';

const directory = metadata(0o40755);
const regular = metadata(0o100644);
const name = Buffer.from('name');
const ignore = (): void => undefined;

function writer(version: 1 | 2 = 1): PxarWriter {
  return new PxarWriter(version === 1 ? { version, meta: ignore } : { version, meta: ignore, payload: ignore }, directory);
}

describe('a writer', () => {
  test.each<[string, (w: PxarWriter) => unknown]>([
    ['more data than announced', (w) => (w.addFile(name, regular, 1), w.write(Buffer.alloc(2)))],
    ['data of no file', (w) => w.write(Buffer.alloc(1))],
    ['an entry before the data is complete', (w) => (w.addFile(name, regular, 1), w.openDirectory(name, directory))],
    ['an end before the data is complete', (w) => (w.addFile(name, regular, 1), w.finish())],
    ['an end before the directories are closed', (w) => (w.openDirectory(name, directory), w.finish())],
    ['to close what is not open', (w) => w.closeDirectory()],
    ['entries after the end', (w) => (w.finish(), w.openDirectory(name, directory))],
    ['a second end', (w) => (w.finish(), w.finish())],
    ['a hard link to itself', (w) => w.addHardlink(name, w.metaPosition, name)],
    [
      'a file as a special file',
      (w) => w.addSpecial(name, { kind: 'file', metadata: regular, content: { where: 'inline', size: 1 } }),
    ],
    ['a reused file in version 1', (w) => w.addReusedFile(name, regular, { offset: 16, size: 1 })],
    ['a name with a slash', (w) => w.openDirectory(Buffer.from('a/b'), directory)],
    ['a file with the mode of a directory', (w) => w.addFile(name, directory, 1)],
  ])('refuses %s', (_what, run) => {
    expect(resultOrCode('writing', () => run(writer()))).toEqual({
      code: expect.stringMatching(/^BAD_(NAME|STRUCTURE)$/) as string,
    });
  });

  it('refuses directories that no reader would enter', () => {
    const w = writer();
    for (let depth = 1; depth < directoryDepthMax; depth++) w.openDirectory(name, directory);
    expect(resultOrCode('writing', () => w.openDirectory(name, directory))).toEqual({ code: 'LIMIT_EXCEEDED' });
  });

  it('writes a payload stream also without files', () => {
    const { meta, payload } = write(2, undefined, (streams) => new PxarWriter(streams, directory));
    expect(payload).toHaveLength(32);
    expect([...scan(meta)]).toHaveLength(3);
  });

  it('counts injected bytes of the payload stream', () => {
    const { meta, payload } = write(2, undefined, (streams) => {
      const w = new PxarWriter(streams, directory);
      w.addReusedFile(Buffer.from('old'), regular, { offset: w.payloadPosition + 32, size: 5 });
      w.injectPayload(1000);
      w.addFile(Buffer.from('new'), regular, 3);
      w.write(Buffer.from('abc'));
      expect(w.payloadPosition).toBe(16 + 1000 + 16 + 3);
      return w;
    });
    expect([...walk(meta)].slice(1).map(({ entry }) => entry.content)).toEqual([
      { where: 'payload', offset: 48, size: 5 },
      { where: 'payload', offset: 1016, size: 3 },
    ]);
    expect(payload).toHaveLength(16 + 16 + 3 + 16);
  });

  it('writes a directory of 50,000 entries', () => {
    const { meta } = write(1, undefined, (streams) => {
      const w = new PxarWriter(streams, directory);
      for (let i = 0; i < 50_000; i++) w.addFile(Buffer.from(`file-${i}`), regular, 0);
      return w;
    });
    const names = [...scan(meta)].flatMap((event) => (event.type === 'entry' && event.depth > 0 ? [event.name.toString()] : []));
    expect(names).toEqual(Array.from({ length: 50_000 }, (_, i) => `file-${i}`));
    const { entryDistance, tableBytes } = decodeGoodbyeTail(meta.subarray(-24));
    const table = decodeGoodbyeTable(meta.subarray(-tableBytes));
    const byTable = [...table.byArchiveOrder()].map((slot) => table.range(slot, entryDistance).start);
    expect(byTable.map((start) => meta.toString('latin1', start + 16, meta.indexOf(0, start + 16)))).toEqual(names);
  });
});
