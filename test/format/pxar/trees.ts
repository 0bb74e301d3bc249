/** Arbitrary trees for property tests, and how they are written. */
import fc from 'fast-check';
import type { PxarEntry, PxarMetadata } from '../../../src/format/pxar/entry.js';
import { PxarWriter, type PxarStreams } from '../../../src/format/pxar/writer.js';

export type Tree =
  | {
      readonly kind: 'directory';
      readonly metadata: PxarMetadata;
      readonly children: readonly (readonly [name: Buffer, child: Tree])[];
    }
  | { readonly kind: 'file'; readonly metadata: PxarMetadata; readonly data: Buffer }
  | { readonly kind: 'special'; readonly entry: PxarEntry }
  /** to the first file in the archive, if there is one before */
  | { readonly kind: 'hardlink' };

export type DirectoryTree = Extract<Tree, { kind: 'directory' }>;

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const permissions = fc.integer({ min: 0, max: 7 });
const optional = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(values, { nil: undefined, freq: 3 });
const bytes = (minLength: number, maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
const nameBytes = (forbidden: readonly number[], maxLength: number): fc.Arbitrary<Buffer> =>
  bytes(1, maxLength).map((name) => name.map((byte) => (forbidden.includes(byte) ? 0x78 : byte)) as Buffer);

export const names = nameBytes([0, 0x2f], 40).map((name) =>
  name.equals(Buffer.from('.')) || name.equals(Buffer.from('..')) ? Buffer.from('dots') : Buffer.from(name),
);

const aclEntries = fc.array(fc.record({ id: u32, permissions }), { maxLength: 4 });
const attributes = fc.record({
  flags: fc.record({ hi: u32, lo: u32 }),
  uid: u32,
  gid: u32,
  mtime: fc.record({
    sec: fc.oneof(fc.integer(), fc.maxSafeInteger()),
    nsec: fc.integer({ min: 0, max: 999_999_999 }),
  }),
  xattrs: fc.array(fc.record({ name: nameBytes([0], 20).map((name) => Buffer.from(name)), value: bytes(0, 100) }), {
    maxLength: 3,
  }),
  acl: optional(
    fc.record({
      users: aclEntries,
      groups: aclEntries,
      // one item there must be, or there is no ACL
      groupObj: permissions,
      default: optional(
        fc.record({
          userObj: optional(permissions),
          groupObj: optional(permissions),
          other: optional(permissions),
          mask: optional(permissions),
        }),
      ),
      defaultUsers: aclEntries,
      defaultGroups: aclEntries,
    }),
  ),
  fcaps: optional(bytes(0, 30)),
  projectId: optional(u32),
});

function metadataOf(type: number): fc.Arbitrary<PxarMetadata> {
  return fc.tuple(attributes, fc.integer({ min: 0, max: 0o7777 })).map(([rest, bits]) => ({ ...rest, mode: type | bits }));
}

const special: fc.Arbitrary<PxarEntry> = fc.oneof(
  metadataOf(0o10000).map((metadata) => ({ kind: 'fifo' as const, metadata })),
  metadataOf(0o140000).map((metadata) => ({ kind: 'socket' as const, metadata })),
  fc.record({
    kind: fc.constant('symlink' as const),
    metadata: metadataOf(0o120000),
    target: nameBytes([0], 60).map((name) => Buffer.from(name)),
  }),
  fc.record({
    kind: fc.constant('device' as const),
    metadata: fc.oneof(metadataOf(0o20000), metadataOf(0o60000)),
    device: fc.record({ major: u32, minor: u32 }),
  }),
);

const leaf: fc.Arbitrary<Tree> = fc.oneof(
  fc.record({ kind: fc.constant('file' as const), metadata: metadataOf(0o100000), data: bytes(0, 200) }),
  special.map((entry) => ({ kind: 'special' as const, entry })),
  fc.constant({ kind: 'hardlink' as const }),
);

/** A root directory; names are unique within each directory. */
export const trees: fc.Arbitrary<DirectoryTree> = fc.letrec<{ tree: Tree; directory: DirectoryTree }>((tie) => ({
  directory: fc.record({
    kind: fc.constant('directory' as const),
    metadata: metadataOf(0o40000),
    children: fc.uniqueArray(fc.tuple(names, tie('tree')), { maxLength: 8, selector: ([name]) => name.toString('latin1') }),
  }),
  tree: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('directory')),
})).directory;

export interface Expected {
  readonly path: Buffer;
  readonly entry: Omit<PxarEntry, 'content'>;
  readonly data: Buffer | undefined;
}

/** Writes `root` and tells what must be read: hard links to nothing are left out. */
export function writeTree(streams: PxarStreams, root: DirectoryTree): { writer: PxarWriter; expected: Expected[] } {
  const writer = new PxarWriter(streams, root.metadata);
  const expected: Expected[] = [
    { path: Buffer.alloc(0), entry: { kind: 'directory', metadata: root.metadata }, data: undefined },
  ];
  let first: { path: Buffer; position: number } | undefined;
  const add = (path: Buffer, name: Buffer, tree: Tree): void => {
    const position = writer.metaPosition;
    switch (tree.kind) {
      case 'directory':
        expected.push({ path, entry: { kind: 'directory', metadata: tree.metadata }, data: undefined });
        writer.openDirectory(name, tree.metadata);
        for (const [child, below] of tree.children) add(Buffer.concat([path, Buffer.from('/'), child]), child, below);
        writer.closeDirectory();
        return;
      case 'file':
        expected.push({ path, entry: { kind: 'file', metadata: tree.metadata }, data: tree.data });
        writer.addFile(name, tree.metadata, tree.data.length);
        for (let at = 0; at < tree.data.length; at += 7) writer.write(tree.data.subarray(at, at + 7));
        first ??= { path, position };
        return;
      case 'special':
        expected.push({ path, entry: tree.entry, data: undefined });
        writer.addSpecial(name, tree.entry);
        return;
      case 'hardlink': {
        if (first === undefined) return;
        const hardlink = { distance: position - first.position, target: first.path };
        expected.push({ path, entry: { kind: 'hardlink', metadata: undefined, hardlink }, data: undefined });
        writer.addHardlink(name, first.position, first.path);
      }
    }
  };
  for (const [name, child] of root.children) add(name, name, child);
  return { writer, expected };
}
