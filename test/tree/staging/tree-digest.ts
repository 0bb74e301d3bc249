/** A whole tree in one line: names, types, modes, owners, contents, hard links, devices, extended attributes, ACLs; however long its paths. */
import { execFileSync } from 'node:child_process';

const attributes = ['--warning=no-file-ignored', '--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner'];

function run(script: string, directory: string, ...args: string[]): string {
  return execFileSync('sh', ['-c', script, 'sh', directory, ...args], { encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, LC_ALL: 'C' } });
}

/** `times`: with modification times. */
export function treeDigest(directory: string, { times = true }: { times?: boolean } = {}): string {
  const pax = ['--format=posix', '--pax-option=exthdr.name=%d/x/%f,delete=atime,delete=ctime'];
  const args = [...attributes, ...pax, '--sort=name', ...(times ? [] : ['--mtime=@0'])];
  return run('d="$1"; shift; tar -C "$d" "$@" -c . | sha256sum', directory, ...args).slice(0, 64);
}

/** For messages. */
export function treeListing(directory: string): string[] {
  const script = 'd="$1"; shift; tar -C "$d" "$@" --sort=name --mtime=@0 -c . | tar tvv --numeric-owner --xattrs --acls';
  return run(script, directory, ...attributes).split('\n');
}
