/** Metadata mode: what is not read, what is reused, and that the archive is right whatever was reused. Format: pxar, section 7 */
import { mkdirSync, renameSync, rmSync, utimesSync, writeFileSync, linkSync, readdirSync, chmodSync, truncateSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { placesOf } from '../support/archives.js';
import { ArchiveMaker, describeArchive, describeTree, type MadeTree } from '../support/archived-trees.js';
import { noise, Random, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { newShelf } from '../support/streams.js';

const maker = new ArchiveMaker(newShelf());
const markerBytes = 16;

function refsOf({ meta }: MadeTree): Record<string, number> {
  const files = placesOf(meta).flatMap(({ path, event: { entry: { content } } }) => (content?.where === 'payload' ? [[path, content.offset] as const] : []));
  return Object.fromEntries(files);
}

/** Section 7.6. */
function checkInvariants(made: MadeTree): void {
  const { payload, payloadIndex } = made;
  expect(payloadIndex?.size).toBe(payload.length);
  const offsets = Object.values(refsOf(made));
  expect(offsets).toEqual([...new Set(offsets)].sort((a, b) => a - b));
  expect(payload.subarray(0, 8).toString('hex')).toBe('d24e4a19c2684c83');
  expect(payload.subarray(-markerBytes, -8).toString('hex')).toBe('b5814c988bb7726c');
}

function file(root: string, name: string, bytes: number, label = name): void {
  writeFileSync(join(root, name), noise(label, bytes));
  utimesSync(join(root, name), 1, 1_600_000_000);
}

describe('the worked example of section 7.7', () => {
  const root = scratchDirectory();
  file(root, 'f1', 599_968);
  file(root, 'f2', 1_299_984);
  file(root, 'f3', 999_984);
  file(root, 'f4', 1_099_968);
  const first = maker.make(root).then((made) => maker.recut(made, [1_000_000]));

  test('all four unchanged', async () => {
    const old = await first;
    expect(refsOf(old)).toEqual({ f1: 16, f2: 600_000, f3: 1_900_000, f4: 2_900_000 });
    const made = await maker.make(root, { reference: await maker.reference(old), averageBytes: 1 << 20 });
    expect(refsOf(made)).toEqual({ f1: 32, f2: 600_016, f3: 1_900_016, f4: 2_900_016 });
    expect(made.injections.map(({ position, chunks }) => [position, chunks.length])).toEqual([[16, 4]]);
    const index = made.payloadIndex;
    expect(Array.from({ length: index?.count ?? 0 }, (_, n) => index?.endOf(n))).toEqual([16, 1_000_016, 2_000_016, 3_000_016, 4_000_016, 4_000_032]);
    expect(made.payloadBytesWritten).toBe(2 * markerBytes);
    expect(made.summary).toMatchObject({ bytesRead: 0, filesReused: 4, filesReencoded: 0, bytesReused: 3_999_904 });
    checkInvariants(made);
    expect(describeArchive(made)).toEqual(describeTree(root));
  });

  test('f3 changed', async () => {
    utimesSync(join(root, 'f3'), 1, 1_700_000_000);
    const made = await maker.make(root, { reference: await maker.reference(await first), averageBytes: 1 << 20 });
    expect(refsOf(made)).toEqual({ f1: 32, f2: 600_016, f3: 2_000_016, f4: 3_000_016 });
    expect(made.injections.map(({ position, chunks }) => [position, chunks.length])).toEqual([[16, 2]]);
    expect(made.summary).toMatchObject({ filesReused: 2, filesReencoded: 1, bytesRead: 999_984 + 1_099_968 });
    checkInvariants(made);
    expect(describeArchive(made)).toEqual(describeTree(root));
  });
});

/** Small trees, in which runs of neighbours end within chunks. */
function tree(files = 300, bytes = 3000): string {
  const root = scratchDirectory();
  for (let n = 0; n < files; n += 1) {
    if (n % 20 === 0) mkdirSync(join(root, `d${String(n).padStart(4, '0')}`));
    file(join(root, `d${String(n - (n % 20)).padStart(4, '0')}`), `f${n % 20}`, bytes + n);
  }
  return root;
}

test('nothing is read and nothing written where nothing changed, generation after generation', async () => {
  const root = tree();
  mkdirSync(join(root, 'z'));
  linkSync(join(root, 'd0000/f3'), join(root, 'z/link'));
  let made = await maker.make(root);
  for (let generation = 0; generation < 4; generation += 1) {
    made = await maker.make(root, { reference: await maker.reference(made) });
    expect(made.warnings).toEqual([]);
    expect(made.payloadBytesWritten).toBe(2 * markerBytes);
    expect(made.summary).toMatchObject({ bytesRead: 0, filesReencoded: 0, filesReused: 300, others: 1 });
    checkInvariants(made);
    expect(describeArchive(made)).toEqual(describeTree(root));
  }
});

test('a chunk that is missing in the datastore has its files read again, and is told once', async () => {
  const root = tree();
  const old = await maker.make(root);
  let asked = 0;
  const reference = await maker.reference(old, { reuse: (chunks) => Promise.resolve((asked += chunks.length) > 3 ? [chunks.length - 1] : []) });
  const made = await maker.make(root, { reference });
  expect(asked).toBeGreaterThan(3);
  expect(made.warnings).toEqual([expect.stringContaining('missing')]);
  expect(made.summary).toMatchObject({ filesReused: 0, filesReencoded: 300 });
  expect(made.injections).toEqual([]);
  expect(describeArchive(made)).toEqual(describeTree(root));
});

test('a reference whose metadata is damaged is given up, and that is told once', async () => {
  const root = tree();
  const old = await maker.make(root);
  const made = await maker.make(root, { reference: await maker.reference(old, { lost: true }) });
  expect(made.warnings).toEqual([expect.stringContaining('damaged')]);
  expect(describeArchive(made)).toEqual(describeTree(root));
});

test('a queued file that vanishes before it is read again is left out', async () => {
  const root = tree(40);
  const old = await maker.make(root);
  const reference = await maker.reference(old, {
    reuse: (chunks) => {
      rmSync(join(root, 'd0000/f7'), { force: true });
      rmSync(join(root, 'd0020'), { recursive: true, force: true });
      return Promise.resolve([chunks.length - 1]);
    },
  });
  const made = await maker.make(root, { reference });
  expect(made.warnings.filter((line) => line.includes('vanished'))).toHaveLength(21);
  const archived = describeArchive(made);
  expect([...archived.keys()]).toContain('d0020');
  expect(archived.get('d0000/f8')).toEqual(describeTree(root).get('d0000/f8'));
  expect([...archived.keys()]).not.toContain('d0000/f7');
});

test('in a spool all is read, as programs set times there, and what is the same has the same chunks', async () => {
  const root = tree(40, 30_000);
  file(root, 'changed', 50_000);
  const old = await maker.make(root, { isSpool: true });
  file(root, 'changed', 50_000, 'other content');
  const made = await maker.make(root, { isSpool: true, reference: await maker.reference(old) });
  expect(made.summary).toMatchObject({ filesReused: 0, bytesReused: 0 });
  expect(describeArchive(made)).toEqual(describeTree(root));
  const ends = ({ payloadIndex }: MadeTree): number[] => Array.from({ length: payloadIndex?.count ?? 0 }, (_, n) => payloadIndex?.endOf(n) ?? 0);
  const before = new Set(ends(old));
  expect(ends(made).filter((end) => !before.has(end)).length).toBeLessThanOrEqual(3);
});

test('a queued file whose directory became a link is not followed', async () => {
  const root = tree(40);
  const elsewhere = tree(40, 10);
  const old = await maker.make(root);
  const reference = await maker.reference(old, {
    reuse: (chunks) => {
      rmSync(join(root, 'd0020'), { recursive: true, force: true });
      symlinkSync(join(elsewhere, 'd0020'), join(root, 'd0020'));
      return Promise.resolve([chunks.length - 1]);
    },
  });
  const made = await maker.make(root, { reference });
  expect(made.warnings.filter((line) => line.includes('became something else'))).toHaveLength(20);
  expect(made.summary.files).toBe(20);
});

describe(`random changes (seed ${seed})`, () => {
  test.each([0, 1, 2, 3, 4, 5])('over generations are archived as they are, %i', async (n) => {
    const random = new Random(seed + 7 * n);
    const root = tree(20 + random.below(200), [10, 500, 20_000][random.below(3)]);
    let made = await maker.make(root);
    for (let generation = 0; generation < 6; generation += 1) {
      for (let change = random.below(6); change > 0; change -= 1) changeSomething(root, random, `${n} ${generation} ${change}`);
      made = await maker.make(root, { reference: await maker.reference(made) });
      expect(made.warnings).toEqual([]);
      checkInvariants(made);
      expect(describeArchive(made)).toEqual(describeTree(root));
    }
  });
});

function changeSomething(root: string, random: Random, label: string): void {
  const directories = readdirSync(root);
  const directory = join(root, random.pick(directories));
  const names = readdirSync(directory);
  const path = join(directory, names.length === 0 ? 'none' : random.pick(names));
  const other = join(root, random.pick(directories), `n${label.replaceAll(' ', '-')}`);
  if (names.length === 0) return writeFileSync(path, noise(label, 100));
  switch (random.below(8)) {
    case 0:
      return writeFileSync(path, noise(label, random.below(30_000)));
    case 1:
      return rmSync(path);
    case 2:
      return renameSync(path, other);
    case 3:
      return linkSync(path, other);
    case 4:
      return chmodSync(path, 0o600 + random.below(64));
    case 5:
      return truncateSync(path, random.below(100));
    case 6:
      mkdirSync(join(root, `e${label.replaceAll(' ', '-')}`));
      return renameSync(path, join(root, `e${label.replaceAll(' ', '-')}`, 'moved'));
    default:
      return writeFileSync(other, noise(label, random.below(200_000)));
  }
}
