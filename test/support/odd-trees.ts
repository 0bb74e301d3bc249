/** Real directories with what file systems allow, made at random. Root only. */
import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, lutimesSync, lchownSync, mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { noise, text, type Random } from './random.js';

type Pathy = Buffer;

const names = ['a', 'b.txt', 'name with blanks', '\xff\xfe', 'new\nline', '-rf', '.hidden', 'x'.repeat(255), '~', '*', '[a]', "it's", 'caf\xe9', 'z'];

/** A tree below `root`, which exists. */
export function makeOddTree(root: string, random: Random, { entries = 60, bytesMax = 200_000 }: { readonly entries?: number; readonly bytesMax?: number } = {}): void {
  const directories: Pathy[] = [Buffer.from(root)];
  const files: Pathy[] = [];
  const taken = new Set<string>();
  for (let n = 0; n < entries; n += 1) {
    const directory = random.pick(directories);
    const path = Buffer.concat([directory, Buffer.from('/'), Buffer.from(random.pick(names), 'latin1'), Buffer.from(random.below(2) === 0 ? '' : String(n))]);
    const name = path.subarray(path.lastIndexOf(0x2f) + 1);
    if (taken.has(path.toString('latin1')) || name.length > 255 || path.length > 3000) continue;
    taken.add(path.toString('latin1'));
    makeEntry(path, n, random, { directories, files, bytesMax });
  }
  for (const path of [...files, ...directories]) decorate(path, random);
}

interface Made {
  readonly directories: Pathy[];
  readonly files: Pathy[];
  readonly bytesMax: number;
}

function makeEntry(path: Pathy, n: number, random: Random, { directories, files, bytesMax }: Made): void {
  switch (random.below(10)) {
    case 0:
    case 1:
      mkdirSync(path);
      directories.push(path);
      break;
    case 2:
      symlinkSync(Buffer.from(random.pick(['a', '/nowhere', '../\xff', 'x'.repeat(1000)]), 'latin1'), path);
      lchownSync(path, random.below(70_000), random.below(70_000));
      lutimesSync(path, 1, random.below(2_000_000_000));
      break;
    case 3:
      if (files.length > 0) linkSync(random.pick(files), path);
      break;
    case 4:
      mknod(path, random);
      break;
    case 5:
      writeFileSync(path, 'x');
      truncateSync(path, random.below(4 * bytesMax));
      files.push(path);
      break;
    default:
      writeFileSync(path, contentOf(`${n}`, random, bytesMax));
      files.push(path);
  }
}

function contentOf(label: string, random: Random, bytesMax: number): Buffer {
  const bytes = random.below(3) === 0 ? random.below(10) : random.below(bytesMax);
  return random.below(2) === 0 ? noise(label, bytes) : text(label, bytes);
}

function mknod(path: Pathy, random: Random): void {
  // mknod(1) takes names as they are, which Node can give it only through a shell that unescapes them.
  const escaped = [...path].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  const kind = random.pick(['p', 'c 1 3', 'b 7 200', 'c 4095 1048575']);
  execFileSync('bash', ['-c', `mknod $'${escaped}' ${kind}`]);
}

function decorate(path: Pathy, random: Random): void {
  if (random.below(3) === 0) {
    for (let n = random.below(4); n > 0; n -= 1) xattr(path, random);
  }
  if (random.below(6) === 0) facl(path, random);
  if (random.below(6) === 0) shell('chattr', random.pick(['+d', '+A', '+S', '+dA']), path);
  lchownSync(path, random.pick([0, 1000, 4_000_000_000]), random.pick([0, 1000, 65_534]));
  chmodSync(path, random.pick([0o644, 0o755, 0o4755, 0o2711, 0o1777, 0o600, 0o000]));
  if (random.below(6) === 0) shell('setcap', 'cap_net_raw+ep', path, true);
  utimesSync(path, 1, random.pick([-1.5, 0, 1_600_000_000.25, random.below(2_000_000_000)]));
}

function xattr(path: Pathy, random: Random): void {
  const name = random.pick(['user.a', 'user.b', 'trusted.t', `user.${'n'.repeat(200)}`, 'security.other']);
  const value = noise(String(random.below(1000)), random.below(300));
  shell(`setfattr -n ${name} -v 0x${value.toString('hex')}`, '', path);
}

function facl(path: Pathy, random: Random): void {
  shell('setfacl -m', random.pick(['u:1000:rwx', 'g:7:r,u:5:-,u:4:w', 'm::r']), path);
  shell('setfacl -d -m', random.pick(['u:1000:rwx', 'o::-']), path, true);
}

function shell(command: string, argument: string, path: Pathy, mayFail = false): void {
  const escaped = [...path].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  execFileSync('bash', ['-c', `${command} ${argument} $'${escaped}'${mayFail ? ' 2> /dev/null || true' : ''}`]);
}

export function inside(...parts: readonly string[]): string {
  return join(...parts);
}
