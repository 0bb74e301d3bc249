/** What kinds of attributes the files of a file system may have, and whether it is a virtual one. Format: pxar, sections 3.6 and 3.7 */
import { statfsSync } from 'node:fs';

const virtualMagics: ReadonlySet<number> = new Set([
  0x42494e4d, // binfmt_misc
  0x63677270, // cgroup2
  0x0027e0eb, // cgroup
  0x62656570, // configfs
  0x64626720, // debugfs
  0x00001cd1, // devpts
  0xde5e81e4, // efivarfs
  0x65735543, // fusectl
  0x958458f6, // hugetlbfs
  0x19800202, // mqueue
  0x6e667364, // nfsd
  0x00009fa0, // proc
  0x6165676c, // pstore
  0x67596969, // rpc_pipefs
  0x73636673, // securityfs
  0xf97cff8c, // selinuxfs
  0x43415d53, // smackfs
  0x62656572, // sysfs
]);

const tmpfs = 0x01021994;
const msdos = 0x00004d44;
const fuse = 0x65735546;
const withProjects: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x2fc12fc1]); // ext2/3/4, XFS, ZFS

/** Shared by all files of one file system; what turns out not to be there is not asked for again. */
export interface SourceFileSystem {
  readonly virtual: boolean;
  xattrs: boolean;
  readonly acls: boolean;
  readonly fileCapabilities: boolean;
  projects: boolean;
  readonly fatAttributes: boolean;
  inodeFlags: boolean;
  /** Whether ENOTTY for one file means the same for all: not where every file may be of another file system behind it. */
  readonly uniform: boolean;
}

/** That of an open directory. */
export function sourceFileSystem(fd: number): SourceFileSystem {
  return fileSystemOf(statfsSync(`/proc/self/fd/${fd}`).type >>> 0);
}

/** `magic`: f_type of statfs(2). */
export function fileSystemOf(magic: number): SourceFileSystem {
  return {
    virtual: virtualMagics.has(magic),
    xattrs: magic !== tmpfs && magic !== msdos,
    acls: magic !== msdos && magic !== fuse,
    fileCapabilities: magic !== tmpfs && magic !== msdos && magic !== fuse,
    projects: withProjects.has(magic),
    fatAttributes: magic === msdos || magic === fuse,
    inodeFlags: true,
    uniform: magic !== fuse,
  };
}
