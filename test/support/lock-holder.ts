/** Locks of another process, through perl: real ones, as a server takes them. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterEach } from 'vitest';

/** `records`: fcntl F_SETLK, as a server locks `.lock`; `open-records`: F_OFD_SETLK; `whole`: flock. */
export type LockWay = 'records' | 'open-records' | 'whole';
export type LockKind = 'shared' | 'exclusive';

/** Exits with 1 where others hold the lock. */
const script = `
  use Fcntl qw(:DEFAULT :flock);
  my ($way, $kind, $path, $hold) = @ARGV;
  my $exclusive = $kind eq 'exclusive';
  sysopen(my $f, $path, -d $path || !$exclusive || $way eq 'whole' ? O_RDONLY : O_RDWR) or die "$path: $!";
  my $taken;
  if ($way eq 'whole') {
    $taken = flock($f, ($exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
  } else {
    my $record = pack('s s x4 q q l x4', $exclusive ? F_WRLCK : F_RDLCK, 0, 0, 0, 0);
    $taken = fcntl($f, $way eq 'records' ? F_SETLK : 37, $record);
  }
  exit 1 unless $taken;
  $| = 1;
  print "held\\n";
  <STDIN> if $hold;`;

const holders: ChildProcess[] = [];
afterEach(() => {
  for (const holder of holders.splice(0)) holder.kill('SIGKILL');
});

/** Another process holds the lock until the function that this gives has resolved, or until the test ends. */
export async function holdLock(way: LockWay, kind: LockKind, path: string): Promise<() => Promise<void>> {
  const child = spawn('perl', ['-e', script, way, kind, path, '1'], { stdio: ['pipe', 'pipe', 'inherit'] });
  holders.push(child);
  const exited = once(child, 'exit');
  const first = await Promise.race([once(child.stdout, 'data').then(([bytes]) => String(bytes)), exited.then(() => 'refused')]);
  if (first !== 'held\n') throw new Error(`${path} cannot be locked (${way}, ${kind})`);
  return async () => {
    child.stdin.end();
    await exited;
  };
}

/** Whether another process can take the lock now. */
export function canLock(way: LockWay, kind: LockKind, path: string): boolean {
  try {
    execFileSync('perl', ['-e', script, way, kind, path, ''], { stdio: ['ignore', 'ignore', 'inherit'] });
    return true;
  } catch (error) {
    if ((error as { status?: unknown }).status === 1) return false;
    throw error;
  }
}
