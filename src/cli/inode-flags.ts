/** Names of the flags that chattr sets: FS_*_FL of linux/fs.h. */

const names: readonly (readonly [bit: number, name: string])[] = [
  [0x00000001, 'secure-deletion'],
  [0x00000002, 'undelete'],
  [0x00000004, 'compressed'],
  [0x00000008, 'sync'],
  [0x00000010, 'immutable'],
  [0x00000020, 'append-only'],
  [0x00000040, 'no-dump'],
  [0x00000080, 'no-atime'],
  [0x00000400, 'no-compression'],
  [0x00004000, 'journaled-data'],
  [0x00008000, 'no-tail-merging'],
  [0x00010000, 'dir-sync'],
  [0x00020000, 'top-of-hierarchy'],
  [0x00800000, 'no-copy-on-write'],
  [0x02000000, 'dax'],
  [0x20000000, 'project-inherit'],
];

export function inodeFlagNames(flags: number): string[] {
  return names.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
}
