/** The mount table of the kernel, as text: nothing here touches a mount point. Format: proc_pid_mountinfo(5). */
import { readFileSync } from 'node:fs';

export interface MountTableEntry {
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
  /** Of the mount point, then of the file system. */
  readonly options: readonly string[];
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

const escapePattern = /\\([0-7]{3})/g;
const fieldsBeforeOptional = 6;

function unescape(field: string): string {
  if (!field.includes('\\')) return field;
  const bytes = Buffer.from(field)
    .toString('latin1')
    .replace(escapePattern, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return Buffer.from(bytes, 'latin1').toString();
}

function parseLine(line: string): MountTableEntry | undefined {
  const fields = line.split(' ');
  const separator = fields.indexOf('-', fieldsBeforeOptional);
  const [, , device = '', , mountPoint, mountOptions = ''] = fields;
  const [type, source, superOptions = ''] = separator < 0 ? [] : fields.slice(separator + 1);
  const [major, minor] = device.split(':').map(Number);
  if (mountPoint === undefined || type === undefined || source === undefined || major === undefined || minor === undefined)
    return undefined;
  return {
    mountPoint: unescape(mountPoint),
    type: unescape(type),
    source: unescape(source),
    options: [...mountOptions.split(','), ...superOptions.split(',')],
    deviceMajor: major,
    deviceMinor: minor,
  };
}

/** Mounts in the order in which they were made: of several at one mount point the last is the one that is seen. */
export function parseMountTable(text: string): MountTableEntry[] {
  return text.split('\n').flatMap((line) => parseLine(line) ?? []);
}

export function readMountTable(): MountTableEntry[] {
  return parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** What is seen at `mountPoint` (absolute, no links in it), if it is a mount point. */
export function findMount(mountPoint: string): MountTableEntry | undefined {
  return readMountTable().findLast((entry) => entry.mountPoint === mountPoint);
}

/** Whether this very mount is still in the table. */
export function isMounted({ mountPoint, deviceMajor, deviceMinor }: MountTableEntry): boolean {
  return readMountTable().some(
    (entry) => entry.mountPoint === mountPoint && entry.deviceMajor === deviceMajor && entry.deviceMinor === deviceMinor,
  );
}
