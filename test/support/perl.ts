/** System calls that Node does not offer, through perl, which is part of each Debian. */
import { execFileSync } from 'node:child_process';

export interface PerlUser {
  readonly uid?: number;
  readonly gid?: number;
}

function perl(user: PerlUser, script: string, ...args: string[]): string {
  return execFileSync('perl', ['-e', script, ...args], { ...user, cwd: '/', encoding: 'latin1', maxBuffer: 1 << 28 });
}

/** Start and end of each range of data, as lseek tells them. */
export function segments(path: string, user: PerlUser = {}): number[][] {
  const script = `
    open(my $f, '<', $ARGV[0]) or die $!;
    my $at = 0;
    while (defined(my $data = sysseek($f, $at, 3))) {
      my $hole = sysseek($f, $data + 0, 4);
      printf("%d %d\\n", $data, $hole);
      $at = $hole + 0;
    }
    die "not ENXIO: $!" unless $!{ENXIO};`;
  const lines = perl(user, `use Errno; ${script}`, path).trim().split('\n');
  return lines.filter((line) => line !== '').map((line) => line.split(' ').map(Number));
}

/** Lists half of a directory, goes on from the middle, and goes back to the start: names as latin1. */
export function seekInDirectory(path: string, user: PerlUser = {}): { all: string[]; again: string[]; fromStart: string[] } {
  const script = `
    opendir(my $d, $ARGV[0]) or die $!;
    my (@all, $place);
    while (defined(my $name = readdir($d))) { push @all, $name; $place = telldir($d) if @all == 7777; }
    seekdir($d, $place);
    my @again = readdir($d);
    rewinddir($d);
    my @start = readdir($d);
    print join("/", @all), "\\0", join("/", @again), "\\0", join("/", @start);`;
  const [all = '', again = '', fromStart = ''] = perl(user, script, path).split('\0');
  return { all: all.split('/'), again: again.split('/'), fromStart: fromStart.split('/') };
}
