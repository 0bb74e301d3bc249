/** How our mounts are called in the mount table. */
export const fileSystemSubtype = 'pbsfs';
export const fileSystemType = `fuse.${fileSystemSubtype}`;

/**
 * The source as the mount table may show it. A remount makes mount(8) run mount.fuse, which hands the source to a shell, so that
 * nothing in it may mean something there.
 */
export function printableSource(source: string): string {
  return source.replace(/[^\w@:./+=%~^{}[\]\u0080-\uffff-]/g, '_').replace(/^-/, '_') || fileSystemSubtype;
}
