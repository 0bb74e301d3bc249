import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { openImageSource } from '../../src/backup/image-source.js';
import { writeImage, type ImageOptions, type WrittenImage } from '../../src/backup/image-writer.js';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import { chunkSession, type ChunkSession, type ChunkSessionOptions } from '../support/chunk-session.js';
import { fixtureKeys } from '../support/chunks.js';
import { storePath } from '../support/fixtures.js';
import { noise, Random, seed } from '../support/random.js';
import { copyOfStore, scratchDirectory } from '../support/scratch.js';
import { finishedSnapshots, fixtureKey, readStored } from '../support/stored-files.js';

const mib = 1 << 20;
const filename = 'disk.img.fidx';
const zeroDigest = 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8';

const sessions: ChunkSession[] = [];
function session(options?: ChunkSessionOptions): ChunkSession {
  const opened = chunkSession(options);
  sessions.push(opened);
  return opened;
}
afterEach(async () => {
  for (const opened of sessions.splice(0)) {
    expect(opened.memoryBytesTaken()).toBe(0);
    await opened.close();
  }
});

interface Backup extends WrittenImage {
  readonly warnings: readonly string[];
}

async function backUp(into: ChunkSession, path: string, options: Partial<ImageOptions> = {}, input?: Readable): Promise<Backup> {
  const source = await openImageSource(path, input);
  const warnings: string[] = [];
  try {
    return { ...(await writeImage({ target: into.openIndex(options.filename ?? filename), filename, source, warn: (line) => warnings.push(line), ...options })), warnings };
  } finally {
    await source.close();
  }
}

function file(content: Buffer): string {
  const path = join(scratchDirectory(), 'disk');
  writeFileSync(path, content);
  return path;
}

/** A file of holes but for data at these places. */
function sparseFile(size: number, data: readonly (readonly [offset: number, content: Buffer])[]): string {
  const path = join(scratchDirectory(), 'sparse');
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  for (const [offset, content] of data) writeSync(fd, content, 0, content.length, offset);
  closeSync(fd);
  return path;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('images of the fixtures, backed up again', () => {
  for (const store of ['sample', 'vault'] as const) {
    for (const snapshot of finishedSnapshots(store)) {
      for (const expected of snapshot.files.filter(({ kind }) => kind === 'fixed')) {
        test(`${store} ${snapshot.path} ${expected.filename}`, async () => {
          const key = expected['crypt-mode'] === 'encrypt' && snapshot.fingerprint !== null ? fixtureKey(snapshot.fingerprint) : undefined;
          const index = parseFixedIndex(readStored(store, snapshot.path, expected.filename));
          const reader = session({ key, store: storePath(store) });
          const content = await reader.content(index);
          expect(sha256(content)).toBe(expected.sha256);

          const into = session({ key, store: copyOfStore(store) });
          const again = await backUp(into, file(content), { filename: expected.filename });
          expect(again).toMatchObject({ filename: expected.filename, size: expected.size, csum: expected.csum, warnings: [] });
          expect(again.figures).toMatchObject({ bytes: expected.size, bytesAdded: 0, encodedBytesAdded: 0, bytesReused: expected.size, chunks: expected.chunks });
          expect(into.statistics).toMatchObject({ chunks: expected.distinct_chunks, chunksAdded: 0, encodedBytesAdded: 0 });
        });
      }
    }
  }
});

describe('what an index says', () => {
  test.each([1, 4095, 4 * mib - 1, 4 * mib, 4 * mib + 1, 13 * mib + 7])('of an image of %i bytes', async (size) => {
    const into = session();
    const content = noise(`image ${size}`, size);
    const before = Math.floor(Date.now() / 1000);
    const { csum } = await backUp(into, file(content));
    const index = into.index(filename);
    expect(index).toMatchObject({ size, chunkSize: 4 * mib, count: Math.ceil(size / (4 * mib)) });
    expect(index.csum.toString('hex')).toBe(csum);
    expect(index.computeCsum().toString('hex')).toBe(csum);
    // A random UUID: version 4, variant 1.
    expect((index.uuid[6] ?? 0) >> 4).toBe(4);
    expect((index.uuid[8] ?? 0) >> 6).toBe(2);
    expect(index.ctime).toBeGreaterThanOrEqual(before);
    expect(index.ctime).toBeLessThanOrEqual(Date.now() / 1000);
    expect((await into.content(index)).equals(content)).toBe(true);
  });

  test('two images are two uuids', async () => {
    const into = session();
    const path = file(noise('uuid', 1000));
    await backUp(into, path, { filename: 'a.img.fidx' });
    await backUp(into, path, { filename: 'b.img.fidx' });
    expect(into.index('a.img.fidx').uuid.equals(into.index('b.img.fidx').uuid)).toBe(false);
  });

  test('encrypted chunks have digests of their key', async () => {
    const content = noise('secret', 9 * mib);
    const digests = new Set<string>();
    for (const key of [undefined, ...fixtureKeys()]) {
      const into = session({ key });
      const { csum } = await backUp(into, file(content));
      digests.add(csum);
      expect((await into.content(into.index(filename))).equals(content)).toBe(true);
    }
    expect(digests.size).toBe(3);
  });
});

describe('zeros and holes', () => {
  test('whole chunks in holes are not read, others are', async () => {
    const into = session();
    const size = 40 * mib + 1000;
    const data = [[9 * mib, noise('a', 100)], [22 * mib, noise('b', 5 * mib)], [size - 10, noise('c', 10)]] as const;
    const path = sparseFile(size, data);
    const { figures } = await backUp(into, path);
    expect((await into.content(into.index(filename))).equals(readFileSync(path))).toBe(true);
    // Chunks 2, 5, 6 and the short one at the end.
    expect(figures.bytesRead).toBe(3 * 4 * mib + 1000);
    expect(figures).toMatchObject({ bytes: size, sparseBytes: 7 * 4 * mib, chunks: 11 });
    expect(into.chunksPut).toBe(4);
  });

  test('nothing but a hole', async () => {
    const into = session();
    const { figures } = await backUp(into, sparseFile(16 * mib, []));
    expect(figures).toMatchObject({ bytes: 16 * mib, bytesRead: 0, sparseBytes: 16 * mib, bytesAdded: 4 * mib, bytesReused: 12 * mib, chunks: 4 });
    const index = into.index(filename);
    for (let i = 0; i < 4; i++) expect(index.digestAt(i).toString('hex')).toBe(zeroDigest);
    expect(into.statistics).toMatchObject({ chunks: 1, chunksAdded: 1 });
  });

  test('zeros that were written give the same index as a hole, and are stored once', async () => {
    const into = session();
    const holes = await backUp(into, sparseFile(18 * mib, []));
    const written = await backUp(into, file(Buffer.alloc(18 * mib)));
    expect(written.csum).toBe(holes.csum);
    expect(written.figures).toMatchObject({ bytesRead: 18 * mib, sparseBytes: 16 * mib, bytesAdded: 0 });
    // The short chunk at the end is an ordinary one.
    expect(into.chunksPut).toBe(2);
  });

  test('an image without zeros stores no chunk of zeros', async () => {
    const into = session();
    await backUp(into, file(noise('no zeros', 8 * mib)));
    expect(into.statistics).toMatchObject({ chunks: 2 });
  });

  test('64 GiB of holes take no time', async () => {
    const into = session();
    const path = sparseFile(64 * 1024 * mib, [[40_000 * mib, noise('one', 1000)]]);
    const begun = performance.now();
    const { figures } = await backUp(into, path);
    expect(performance.now() - begun).toBeLessThan(2000);
    expect(figures).toMatchObject({ bytes: 64 * 1024 * mib, bytesRead: 4 * mib, chunks: 16384 });
  });

  test(`random files with random holes are as they are (seed ${seed})`, async () => {
    const random = new Random(seed);
    const into = session();
    for (let round = 0; round < 12; round++) {
      const size = 1 + random.below(30 * mib);
      const data = Array.from({ length: random.below(6) }, (_, i) => [random.below(size), noise(`${seed} ${round} ${i}`, 1 + random.below(mib))] as const);
      const path = sparseFile(size, data);
      await backUp(into, path);
      expect((await into.content(into.index(filename))).equals(readFileSync(path))).toBe(true);
    }
  });
});

describe('a stream', () => {
  const pieces = (content: Buffer, most: number): Readable => {
    const random = new Random(seed);
    return Readable.from(
      (function* () {
        for (let at = 0; at < content.length; ) {
          const end = at + 1 + random.below(most);
          yield content.subarray(at, end);
          at = end;
        }
      })(),
    );
  };

  test.each([1, 4 * mib - 1, 4 * mib, 4 * mib + 1, 21 * mib + 3])(`of %i bytes is the same as a file (seed ${seed})`, async (size) => {
    const into = session();
    const content = noise(`stream ${size}`, size).fill(0, Math.min(size, 6 * mib), Math.min(size, 14 * mib));
    const fromFile = await backUp(into, file(content));
    for (const most of [70_000, 9 * mib]) {
      const again = await backUp(into, '-', {}, pieces(content, most));
      expect(again).toMatchObject({ size, csum: fromFile.csum });
      expect(again.figures).toMatchObject({ bytesRead: size, bytesAdded: 0 });
    }
  });

  test('that is empty', async () => {
    await expect(backUp(session(), '-', {}, Readable.from([]))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: 'standard input is empty; an image has at least one byte' });
  });

  test('that fails', async () => {
    const failing = new Readable({
      read() {
        this.push(Buffer.alloc(5 * mib, 1));
        this.destroy(Object.assign(new Error('read EIO'), { code: 'EIO' }));
      },
    });
    await expect(backUp(session(), '-', {}, failing)).rejects.toMatchObject({ code: 'EIO' });
  });

  test('that never ends is left when it is interrupted', async () => {
    const waiting = new Readable({ read: () => undefined });
    waiting.push(Buffer.alloc(3 * mib, 1));
    const stop = new AbortController();
    const ended = backUp(session(), '-', { signal: stop.signal }, waiting);
    setTimeout(() => stop.abort(), 50);
    await expect(ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(waiting.destroyed).toBe(true);
  });

  test('from a pipe of another process', () => {
    const path = file(noise('pipe', 10 * mib));
    const script = `
      import { openImageSource } from ${JSON.stringify(new URL('../../dist/backup/image-source.js', import.meta.url).href)};
      const source = await openImageSource('-');
      let bytes = 0;
      for await (const piece of source.input) bytes += piece.length;
      console.log(source.size, bytes);`;
    const out = execFileSync('sh', ['-c', `cat ${path} | ${process.execPath} --input-type=module -e "$0"`, script], { encoding: 'utf8' });
    expect(out.trim()).toBe(`undefined ${10 * mib}`);
  });
});

describe('sources that are no image', () => {
  const directory = scratchDirectory();
  const make = {
    missing: () => join(directory, 'missing'),
    directory: () => directory,
    empty: () => file(Buffer.alloc(0)),
    fifo: () => {
      const path = join(directory, 'fifo');
      execFileSync('mkfifo', [path]);
      return path;
    },
    'character device': () => '/dev/zero',
  };
  test.each([
    ['missing', 'NOT_FOUND', /missing does not exist/],
    ['directory', 'IS_A_DIRECTORY', /is a directory; back it up as NAME\.pxar:/],
    ['empty', 'INVALID_ARGUMENT', /is empty; an image has at least one byte/],
    ['fifo', 'INVALID_ARGUMENT', /is a fifo, which has no size; give it as standard input/],
    ['character device', 'INVALID_ARGUMENT', /neither a file nor a block device/],
  ] as const)('%s', async (kind, code, message) => {
    await expect(openImageSource(make[kind]())).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('a socket', async () => {
    const path = join(directory, 'socket');
    const server = createServer().listen(path);
    await new Promise((resolve) => server.once('listening', resolve));
    await expect(openImageSource(path)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    server.close();
  });
});

describe('sources that change or fail while they are read', () => {
  test('shorter: zeros to the size that it had, and a warning', async () => {
    const path = file(noise('shrinks', 60 * mib));
    const into = session({ memoryBytes: 32 << 20, workers: 1 });
    let shrunk = false;
    const { size, warnings } = await backUp(into, path, {
      progress: () => {
        if (!shrunk) truncateSync(path, 50 * mib + 5);
        shrunk = true;
      },
    });
    expect(size).toBe(60 * mib);
    expect(warnings).toEqual([`${path} became shorter while it was read: up to its former size of ${60 * mib} bytes it is filled with zeros`]);
    const expected = noise('shrinks', 60 * mib).fill(0, 50 * mib + 5);
    expect((await into.content(into.index(filename))).equals(expected)).toBe(true);
  });

  test('shorter in what looks like a hole then: a warning too', async () => {
    const path = sparseFile(80 * mib, [[0, noise('first', 1000)], [70 * mib, noise('last', 1000)]]);
    const source = await openImageSource(path);
    truncateSync(path, 8 * mib);
    const warnings: string[] = [];
    const into = session();
    await writeImage({ target: into.openIndex(filename), filename, source, warn: (line) => warnings.push(line) });
    await source.close();
    expect(warnings).toHaveLength(1);
    expect(into.index(filename).size).toBe(80 * mib);
  });

  test('longer: as long as it was', async () => {
    const content = noise('grows', 9 * mib);
    const path = file(content);
    const source = await openImageSource(path);
    writeFileSync(path, noise('more', mib), { flag: 'a' });
    const into = session();
    const { size } = await writeImage({ target: into.openIndex(filename), filename, source, warn: (line) => expect.fail(line) });
    await source.close();
    expect(size).toBe(9 * mib);
    expect((await into.content(into.index(filename))).equals(content)).toBe(true);
  });

  test('interrupted between chunks', async () => {
    const stop = new AbortController();
    // With less memory than the image has bytes it can't all be read before the first chunk is stored.
    const into = session({ memoryBytes: 32 << 20 });
    const ended = backUp(into, file(noise('stop', 64 * mib)), { signal: stop.signal, progress: () => stop.abort() });
    await expect(ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(into.chunksPut).toBeLessThan(16);
  });

  test('a chunk that cannot be stored ends it with the error of the system', async () => {
    const into = session();
    const store = join(into.store, '.chunks');
    execFileSync('rm', ['-r', store]);
    writeFileSync(store, 'in the way');
    await expect(backUp(into, file(noise('full', 40 * mib)))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});

describe('block devices', () => {
  const attach = (path: string): string => execFileSync('losetup', ['-f', '--show', '-r', path], { encoding: 'utf8' }).trim();
  const detach = (device: string): void => void execFileSync('losetup', ['-d', device]);

  test('a loop device is its file', async () => {
    const path = sparseFile(20 * mib, [[5 * mib, noise('loop', mib)]]);
    const into = session();
    const expected = await backUp(into, path);
    const device = attach(path);
    try {
      const { csum, size, figures, warnings } = await backUp(into, device);
      expect({ csum, size, warnings }).toEqual({ csum: expected.csum, size: 20 * mib, warnings: [] });
      expect(figures).toMatchObject({ bytesRead: 20 * mib, sparseBytes: 16 * mib });
    } finally {
      detach(device);
    }
  });

  test('a read error names the device and the place, and stops', async () => {
    const path = file(noise('bad sectors', 24 * mib));
    const device = attach(path);
    try {
      truncateSync(path, 10 * mib);
      const ended = backUp(session(), device);
      await expect(ended).rejects.toMatchObject({ code: 'EIO', path: device, message: expect.stringMatching(new RegExp(`^${device} can't be read at byte \\d+: .*EIO`)) });
    } finally {
      detach(device);
    }
  });
});

test('memory: at most half of the session has, at once', async () => {
  const into = session({ memoryBytes: 64 << 20 });
  let most = 0;
  await backUp(into, file(noise('memory', 120 * mib)), {
    progress: () => {
      most = Math.max(most, into.memoryBytesTaken());
    },
  });
  expect(most).toBeLessThanOrEqual(32 << 20);
  expect(most).toBeGreaterThan(4 << 20);
});
