/** Changes of the tree: what is in a staging directory is its own matter, the rest is making and removing groups, and committing. */
import { FileError } from '../errors.js';
import type { Ino, MaybePromise } from '../vfs/file-system.js';
import type { WriteOperations } from '../vfs/writable-file-system.js';
import { archiveInoMin } from './archive-shelf.js';
import type { TreeContext } from './context.js';
import { readOnly, stale, type TreeNode } from './node.js';
import type { Staging } from './staging/staging.js';
import { copySpooled } from './staging/spool-tree.js';
import { StagedImageWriter } from './staging/staged-image-writer.js';

export function treeWriting(context: TreeContext, staging: Staging): WriteOperations {
  /** READ_ONLY for what is in no staging directory, STALE for what is gone with one. */
  const staged = (ino: Ino): WriteOperations => {
    const tree = staging.tree(ino);
    if (tree === undefined) throw ino >= archiveInoMin || context.nodes.get(ino) !== undefined ? readOnly() : stale(ino);
    return tree.writing;
  };
  const node = (ino: Ino): TreeNode => {
    const found = context.nodes.get(ino);
    if (found === undefined) throw readOnly();
    return found;
  };
  return {
    create: (parent, name, file) => staged(parent).create(parent, name, file),
    createUnnamed: (parent, file) => staged(parent).createUnnamed(parent, file),
    makeDirectory: (parent, name, directory) => {
      const tree = staging.tree(parent);
      return tree === undefined ? node(parent).makeDirectory(name) : tree.writing.makeDirectory(parent, name, directory);
    },
    makeSpecialFile: (parent, name, file) => staged(parent).makeSpecialFile(parent, name, file),
    makeSymbolicLink: (parent, name, target, caller) => staged(parent).makeSymbolicLink(parent, name, target, caller),
    link: (ino, parent, name) => {
      const tree = staging.tree(parent);
      if (tree === undefined) throw readOnly();
      if (!tree.has(ino)) throw apart();
      return tree.writing.link(ino, parent, name);
    },
    unlink: (parent, name) => staged(parent).unlink(parent, name),
    removeDirectory: (parent, name) => {
      const tree = staging.tree(parent);
      return tree === undefined ? node(parent).removeDirectory(name) : tree.writing.removeDirectory(parent, name);
    },
    rename: (from, to, mode): MaybePromise<void> => {
      const [source, target] = [staging.tree(from.parent), staging.tree(to.parent)];
      if (source !== undefined && source === target) return source.writing.rename(from, to, mode);
      if (source !== undefined || target !== undefined) throw apart();
      if (mode === 'exchange') throw readOnly();
      return node(from.parent).rename(from.name, node(to.parent), to.name);
    },
    setAttributes: (ino, changes, file) => staged(ino).setAttributes(ino, changes, file),
    setxattr: (ino, xattr) => {
      const tree = staging.tree(ino);
      return tree === undefined ? node(ino).setXattr(xattr.name.toString('latin1'), xattr.value) : tree.writing.setxattr(ino, xattr);
    },
    removexattr: (ino, name) => staged(ino).removexattr(ino, name),
    setInodeFlags: (ino, changes) => staged(ino).setInodeFlags(ino, changes),
    open: (ino, options) => staged(ino).open(ino, options),
    copyRange: (range, options) => (range.target instanceof StagedImageWriter ? range.target.copyFrom(range) : copySpooled(range, options)),
    sync: (ino, options) => staging.tree(ino)?.writing.sync(ino, options),
    forget: (ino) => staging.tree(ino)?.writing.forget(ino),
  };
}

/** Programs then copy, and take away what they copied. */
function apart(): FileError {
  return new FileError('CROSS_DEVICE', 'these are in different staging directories, or one of them is in none');
}
