/**
 * One tree with everything in it, the same in each process that builds it.
 *
 * @typedef {object} EverythingTree
 * @property {MemoryFileSystem} fileSystem
 * @property {Record<'many' | 'slow' | 'slowReport' | 'changing' | 'report' | 'cached', number>} inos
 */
import { Buffer } from 'node:buffer';
import {
  MemoryFileSystem,
  bytesContent,
  directoryType,
  fileType,
  linkType,
  patternContent,
  sparseContent,
} from './memory-file-system.js';

const GiB = 2 ** 30;
export const manyEntries = 20_000;
export const bigBytes = 20 * 2 ** 20 + 123;
/** For whom the file `acl` has an entry of its own: nobody. */
export const aclUid = 65534;
export const sparseRanges = [
  { start: 0, end: 4096 },
  { start: 512 * GiB, end: 512 * GiB + 8192 },
];
export const sparseBytes = 1024 * GiB;
export const oddNames = [
  Buffer.from([0x66, 0xff, 0xfe, 0x80]),
  Buffer.alloc(255, 'n'),
  Buffer.from('new\nline'),
  Buffer.from('tab\tand "quotes\' \\'),
  Buffer.from('-dash'),
  Buffer.from('\u00fcml\u00e4ut \u{1f600}'),
];
/** FS_IMMUTABLE_FL, FS_NODUMP_FL, FS_NOATIME_FL; a project; FAT read-only and archive. */
export const inodeFlags = { flags: 0x10 | 0x40 | 0x80, projectId: 77, fatAttributes: 0x21 };

/** @param {readonly [tag: number, perm: number, id: number][]} entries */
function posixAcl(entries) {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(([tag, perm, id], i) => {
    bytes.writeUInt16LE(tag, 4 + i * 8);
    bytes.writeUInt16LE(perm, 6 + i * 8);
    bytes.writeUInt32LE(id, 8 + i * 8);
  });
  return bytes;
}

const noId = 0xffffffff;
const readByNobody = posixAcl([
  [1, 6, noId],
  [2, 4, aclUid],
  [4, 0, noId],
  [16, 4, noId],
  [32, 0, noId],
]);
const inherited = posixAcl([
  [1, 7, noId],
  [4, 5, noId],
  [32, 5, noId],
]);
/** cap_net_raw+ep as the kernel stores it. */
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');

/** @param {MemoryFileSystem} tree @param {number} owner */
function addSpecialFiles(tree, owner) {
  const special = tree.directory(tree.root, 'special');
  const ids = { uid: owner, gid: owner };
  tree.add(special, 'character', 0o020666, { ...ids, rdevMajor: 1, rdevMinor: 3 });
  tree.add(special, 'block', 0o060660, { ...ids, rdevMajor: 300, rdevMinor: 70000 });
  tree.add(special, 'fifo', 0o010644, ids);
  tree.add(special, 'socket', 0o140755, ids);
  tree.add(special, 'link', linkType | 0o777, { ...ids, target: Buffer.from('../hello') });
  tree.add(special, 'link-of-bytes', linkType | 0o777, { ...ids, target: Buffer.from([0x2f, 0xff, 0x41]) });
  tree.add(special, 'link-long', linkType | 0o777, { ...ids, target: Buffer.alloc(4000, 'x') });
  tree.add(special, 'set-uid', fileType | 0o4755, ids);
  tree.add(special, 'set-gid', fileType | 0o2755, ids);
  tree.add(special, 'sticky', directoryType | 0o1777, { ...ids, nlink: 2 });
}

/** @param {MemoryFileSystem} tree @param {number} owner */
function addAttributes(tree, owner) {
  const directory = tree.directory(tree.root, 'attributes');
  const ids = { uid: owner, gid: owner };
  tree.file(directory, 'xattrs', 'x', {
    ...ids,
    xattrs: {
      'user.empty': Buffer.alloc(0),
      'user.one': Buffer.from('1'),
      'user.large': Buffer.concat([...patternContent(65536).read(0, 65536)]),
      'user.\u00ff\u00fe': Buffer.from('odd name'),
    },
  });
  tree.file(directory, 'acl', 'secret\n', {
    mode: fileType | 0o640,
    uid: 0,
    gid: 0,
    xattrs: { 'system.posix_acl_access': readByNobody },
  });
  tree.directory(directory, 'acl-inherited', { ...ids, xattrs: { 'system.posix_acl_default': inherited } });
  tree.file(directory, 'capability', 'x', { ...ids, xattrs: { 'security.capability': capability } });
  tree.file(directory, 'flags', 'x', { ...ids, flags: inodeFlags });
  tree.directory(directory, 'flags-directory', { ...ids, flags: { flags: 0x2000_0000, projectId: 78, fatAttributes: 0 } });
  tree.file(directory, 'old', 'old', {
    ...ids,
    atime: { sec: -2_000_000_000, nsec: 1 },
    mtime: { sec: -1, nsec: 999_999_999 },
    ctime: { sec: -86_400, nsec: 0 },
  });
  tree.file(directory, 'future', 'future', { ...ids, mtime: { sec: 2 ** 34, nsec: 5 } });
  tree.file(directory, 'large-inode', 'x', { ...ids, ino: 2 ** 40 + 5 });
}

/** @param {MemoryFileSystem} tree */
function addProtected(tree) {
  tree.file(tree.root, 'private', 'private\n', { mode: fileType | 0o600 });
  const directory = tree.add(tree.root, 'private-directory', directoryType | 0o700, { nlink: 2 });
  tree.file(directory, 'inside', 'inside\n');
}

/**
 * @param {{ root?: number, owner?: number }} [options] `owner` has all files that are not there to be forbidden
 * @returns {EverythingTree}
 */
export function everythingTree({ root = 1, owner = 0 } = {}) {
  const ids = { uid: owner, gid: owner };
  const tree = new MemoryFileSystem({ root, rootOptions: ids });
  tree.file(tree.root, 'hello', 'Hello world\n', ids);
  const cached = tree.file(tree.root, 'cached', 'before', ids);
  tree.file(tree.root, 'empty', '', ids);
  tree.file(tree.root, 'big', patternContent(bigBytes), ids);
  tree.file(tree.root, 'sparse', sparseContent(sparseBytes, sparseRanges), ids);
  tree.file(tree.root, 'all-hole', sparseContent(1_000_000, []), ids);
  const odd = tree.directory(tree.root, 'odd', ids);
  oddNames.forEach((name, i) => tree.file(odd, name, `odd ${i}\n`, ids));
  const many = tree.directory(tree.root, 'many', ids);
  for (let i = 0; i < manyEntries; i += 1) tree.file(many, `file-${i}`, patternContent(i % 300), ids);
  const hard = tree.directory(tree.root, 'hard', ids);
  const one = tree.file(hard, 'one', 'linked\n', { ...ids, nlink: 2 });
  tree.link(hard, 'two', one);
  addSpecialFiles(tree, owner);
  addAttributes(tree, owner);
  addProtected(tree);
  const changing = tree.file(tree.root, 'changing', bytesContent(Buffer.from('before')), { ...ids, caching: 'changing' });
  const report = tree.file(tree.root, 'report', bytesContent(Buffer.from('a report\n')), { ...ids, size: 0, caching: 'unsized' });
  const slow = tree.file(tree.root, 'slow', 'at last\n', ids);
  const slowReport = tree.file(tree.root, 'slow-report', 'at last\n', { ...ids, caching: 'unsized' });
  return { fileSystem: tree, inos: { many, slow, slowReport, changing, report, cached } };
}
