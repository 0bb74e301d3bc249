/** Which of the flags that people type after -o go into the mount call. */
import { MountError } from '../errors.js';

/** Flags of mount(8) that mean the same for every file system, and whether libfuse and fusermount3 know them too. */
const genericFlags = new Map<string, boolean>([
  ['noexec', true],
  ['exec', true],
  ['noatime', true],
  ['sync', true],
  ['async', true],
  ['dirsync', true],
  ['nodiratime', false],
  ['relatime', false],
  ['norelatime', false],
  ['strictatime', false],
  ['nostrictatime', false],
  ['lazytime', false],
  ['nolazytime', false],
  ['silent', false],
  ['loud', false],
]);
/** What only other programs read (mount -a, systemd), and what is so anyway. */
const ignored = new Set([
  'ro',
  'rw',
  'nosuid',
  'nodev',
  'defaults',
  'auto',
  'noauto',
  'user',
  'nouser',
  'users',
  'owner',
  'group',
  'nofail',
  '_netdev',
  'nonempty',
]);
const ignoredPrefixes = ['x-', 'X-', 'comment='];
const trusting = new Set(['suid', 'dev']);

export interface MountFlags {
  /** Begins with `ro`, or `rw` for a writable tree where not `ro` was typed; `nosuid` and `nodev` unless root typed the opposite. */
  readonly options: readonly string[];
  /** The mount point may have something in it. */
  readonly nonempty: boolean;
}

/** Throws MOUNT_FAILED with the name of the first flag that is none of these. */
export function checkMountFlags(flags: readonly string[]): void {
  for (const flag of flags) {
    const known = genericFlags.has(flag) || trusting.has(flag) || ignored.has(flag);
    if (known || ignoredPrefixes.some((prefix) => flag.startsWith(prefix))) continue;
    throw new MountError('MOUNT_FAILED', `unknown mount option '${flag}'`);
  }
}

export interface MountedBy {
  readonly root: boolean;
  /** libfuse (and fusermount3) refuse some flags that mean little here; they are left out. */
  readonly program: 'mount' | 'libfuse';
  readonly writable?: boolean;
}

/** Throws as checkMountFlags does, and NO_PRIVILEGE for what only root may ask for. */
export function parseMountFlags(flags: readonly string[], { root, program, writable = false }: MountedBy): MountFlags {
  checkMountFlags(flags);
  const refused = root ? undefined : flags.find((flag) => trusting.has(flag));
  if (refused !== undefined) throw new MountError('NO_PRIVILEGE', `only root may mount with the option '${refused}'`);
  const options = flags.filter((flag) => genericFlags.get(flag) === true || (program === 'mount' && genericFlags.has(flag)));
  const suid = root && flags.includes('suid') ? 'suid' : 'nosuid';
  const dev = root && flags.includes('dev') ? 'dev' : 'nodev';
  const access = writable && !flags.includes('ro') ? 'rw' : 'ro';
  return { options: [access, suid, dev, ...new Set(options)], nonempty: flags.includes('nonempty') };
}
