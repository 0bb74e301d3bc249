/** Compares a mounted archive, or a mounted file system of an image, with what was backed up, by system calls. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from 'node:fs';
import type { DriverCapabilities } from '../../src/vfs/driver.js';
import { chattrBits, typeBits, type ExpectedEntry } from './expected.js';

const billion = 1_000_000_000n;
const full: DriverCapabilities = {
  nonUtf8Names: true,
  nanoseconds: true,
  timesBefore1970: true,
  inode64: true,
  seekHoles: true,
  inodeFlags: true,
  xattrLarge: true,
  posixAclEnforced: true,
  invalidation: true,
  writing: true,
};

export function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8')).equals(bytes);
}

function below(root: string, path: Buffer): Buffer {
  return path.length === 0 ? Buffer.from(root) : Buffer.concat([Buffer.from(`${root}/`), path]);
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** What differs, one line each; empty if nothing does. */
export function differences(root: string, expected: readonly ExpectedEntry[], capabilities: DriverCapabilities = full): string[] {
  const shown = expected.filter(({ path }) => capabilities.nonUtf8Names || isUtf8(Buffer.from(path, 'base64')));
  const found: string[] = [];
  const inoOf = new Map<string, bigint>();
  for (const line of shown) {
    const path = Buffer.from(line.path, 'base64');
    const say = (what: string, is: unknown, should: unknown): void => {
      if (String(is) !== String(should)) found.push(`${line.name}: ${what} is ${String(is)} instead of ${String(should)}`);
    };
    const stat = lstatSync(below(root, path), { bigint: true });
    compareStat(stat, line, capabilities, say);
    if (line.type === 'file') say('content', digest(readFileSync(below(root, path))), line.sha256);
    if (line.target !== undefined && (capabilities.nonUtf8Names || isUtf8(Buffer.from(line.target, 'base64')))) {
      say('target', readlinkSync(below(root, path), 'buffer').toString('base64'), line.target);
    }
    if (line.link_to !== undefined && capabilities.inode64 && line.type === 'file') say('inode', stat.ino, inoOf.get(line.link_to));
    inoOf.set(line.path, stat.ino);
    if (line.type === 'dir') {
      const names = readdirSync(below(root, path), { encoding: 'buffer' }).map((name) => name.toString('base64')).sort();
      const should = shown.flatMap(({ path: child }) => nameBelow(path, Buffer.from(child, 'base64'))).sort();
      say('listing', names.join(), should.join());
    }
  }
  return found;
}

/** The name of `child` in base64 if it is directly in `directory`. */
function nameBelow(directory: Buffer, child: Buffer): string[] {
  const prefix = directory.length === 0 ? directory : Buffer.concat([directory, Buffer.from('/')]);
  if (child.length <= prefix.length || !child.subarray(0, prefix.length).equals(prefix)) return [];
  const name = child.subarray(prefix.length);
  return name.includes(0x2f) ? [] : [name.toString('base64')];
}

function compareStat(stat: BigIntStats, line: ExpectedEntry, { nanoseconds, timesBefore1970 }: DriverCapabilities, say: (what: string, is: unknown, should: unknown) => void): void {
  say('mode', stat.mode.toString(8), (typeBits[line.type] | parseInt(line.mode, 8)).toString(8));
  say('owner', `${stat.uid}:${stat.gid}`, `${line.uid}:${line.gid}`);
  const [sec, nsec] = line.mtime;
  if (nanoseconds) say('mtime', stat.mtimeNs, BigInt(sec) * billion + BigInt(nsec));
  else if (sec >= 0 || timesBefore1970) say('mtime in seconds', stat.mtimeNs / billion, sec);
  if (line.size !== undefined) say('size', stat.size, line.size);
  if (line.type === 'file') say('links', stat.nlink, line.nlink ?? 1);
  if (line.rdev !== undefined) {
    const [major, minor] = line.rdev;
    say('device', stat.rdev, makedev(BigInt(major), BigInt(minor)));
  }
}

/** As glibc packs them into 64 bits. */
function makedev(major: bigint, minor: bigint): bigint {
  return ((major & 0xffff_f000n) << 32n) | ((major & 0xfffn) << 8n) | ((minor & 0xffff_ff00n) << 12n) | (minor & 0xffn);
}

/** Extended attributes by path (base64), as getfattr shows them to root; values as length and digest. */
export function xattrsBelow(root: string): Map<string, Record<string, string>> {
  const options = ['--recursive', '--physical', '--no-dereference', '--dump', '--match=-', '--encoding=base64', '.'];
  const text = execFileSync('getfattr', options, { cwd: root, encoding: 'latin1', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] });
  const found = new Map<string, Record<string, string>>();
  for (const block of text.split('\n\n')) {
    const [head = '', ...lines] = block.split('\n');
    if (!head.startsWith('# file: ')) continue;
    const name = unescapedOctal(head.slice('# file: '.length));
    const values = lines.filter((line) => line !== '').map((line) => {
      const at = line.indexOf('=0s');
      const value = Buffer.from(at === -1 ? '' : line.slice(at + 3), 'base64');
      return [unescapedOctal(at === -1 ? line.replace(/=$/, '') : line.slice(0, at)), `${value.length} ${digest(value)}`] as const;
    });
    found.set(Buffer.from(name === '.' ? '' : name, 'latin1').toString('base64'), Object.fromEntries(values.filter(([key]) => !key.startsWith('user.pbsfs.'))));
  }
  return found;
}

function unescapedOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

export function expectedXattrs({ xattrs = {}, acl }: ExpectedEntry): Record<string, string> {
  const values = Object.entries(xattrs).map(([name, value]) => {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : undefined;
    const summary = bytes !== undefined ? `${bytes.length} ${digest(bytes)}` : typeof value === 'string' ? '' : `${value.size} ${value.sha256}`;
    return [unescapedHex(name), summary] as const;
  });
  const raw = [
    ['system.posix_acl_access', acl?.access?.raw],
    ['system.posix_acl_default', acl?.default?.raw],
  ] as const;
  for (const [name, text] of raw) {
    if (text === undefined) continue;
    const bytes = Buffer.from(text, 'base64');
    values.push([name, `${bytes.length} ${digest(bytes)}`]);
  }
  return Object.fromEntries(values);
}

/** `\xNN` stands for a byte; other characters are UTF-8. The result is latin1. */
function unescapedHex(name: string): string {
  const parts = name.split(/(\\x[0-9a-f]{2})/);
  return Buffer.concat(parts.map((part) => (part.startsWith('\\x') ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part)))).toString('latin1');
}

/** Flags and project id of files and directories by ioctl, as lsattr asks for them: `flags projid` by path (base64). */
export function inodeFlagsBelow(root: string, expected: readonly ExpectedEntry[]): Map<string, string> {
  const asked = expected.filter(({ type }) => type === 'file' || type === 'dir');
  const script = `
    binmode STDIN; $/ = "\\0";
    while (my $path = <STDIN>) {
      chomp $path;
      sysopen(my $f, $path eq '' ? '.' : "./$path", 0) or die "$path: $!";
      my ($flags, $x) = ("\\0" x 8, "\\0" x 28);
      my $one = ioctl($f, 0x80086601, $flags) ? unpack('L', $flags) : "error";
      my $two = ioctl($f, 0x801c581f, $x) ? unpack('x12 L', $x) : "error";
      print "$one $two\\n";
    }`;
  const input = Buffer.concat(asked.flatMap(({ path }) => [Buffer.from(path, 'base64'), Buffer.alloc(1)]));
  const lines = execFileSync('perl', ['-e', script], { cwd: root, input, encoding: 'utf8' }).trim().split('\n');
  return new Map(asked.map(({ path }, i) => [path, lines[i] ?? 'none']));
}

export function expectedInodeFlags({ flags = [], projid = 0 }: ExpectedEntry): string {
  return `${flags.reduce((sum, flag) => sum | (chattrBits[flag] ?? 0), 0)} ${projid}`;
}
