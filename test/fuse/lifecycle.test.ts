/** How mounts begin, are interrupted, and end: in order, busy, killed, aborted, left dead. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, afterAll, describe, expect, test } from 'vitest';
import { pathHolders } from '../../src/os/path-holders.js';
import { bigBytes } from '../support/everything-tree.js';
import {
  type MountedEverything,
  type StartOptions,
  clearMountPoint,
  isInMountTable,
  isPossible,
  makeMountPoint,
  mountEverything,
  nobody,
  openDeviceForUsers,
  startProgram,
} from '../support/mounted-everything.js';

const running: MountedEverything[] = [];
const directories: string[] = [];
const holders: ChildProcess[] = [];

async function mount(options: StartOptions): Promise<MountedEverything> {
  const mounted = await mountEverything(options);
  running.push(mounted);
  return mounted;
}

/** The error of a mount that must fail, without anything left behind. */
async function failure(options: StartOptions): Promise<{ code: string; message: string }> {
  const started = startProgram(options);
  const { event, error } = await started.message('failed', 'mounted');
  expect(event).toBe('failed');
  expect(await started.exited).toBe(2);
  if (options.mountPoint === undefined) await started.clear();
  return error ?? expect.unreachable();
}

function mountPoint(uid?: number): string {
  const directory = makeMountPoint(uid);
  directories.push(directory);
  return directory;
}

function run(program: string, args: string[], user: { uid?: number; gid?: number } = {}): string {
  return execFileSync(program, args, {
    ...user,
    cwd: '/',
    timeout: 30_000,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  }).toString();
}

/** A process that has `path` open and reads on when it is told to. */
async function holder(path: string): Promise<ChildProcess> {
  const child = spawn('/bin/sh', ['-c', 'exec 3< "$1"; echo open; read -r line; cat <&3', 'sh', path], {
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  holders.push(child);
  await once(child.stdout, 'data');
  return child;
}

async function isGone(path: string): Promise<void> {
  await expect.poll(() => isInMountTable(path), { timeout: 10_000, interval: 50 }).toBe(false);
}

afterEach(async () => {
  for (const child of holders.splice(0)) child.kill('SIGKILL');
  for (const mounted of running.splice(0)) await mounted.clear();
  for (const directory of directories.splice(0)) {
    await clearMountPoint(directory);
    rmSync(directory, { recursive: true, force: true });
  }
});

const drivers = ['epoll', 'pumps', 'fuse-native'] as const;

drivers.forEach((driver) =>
  describe.skipIf(!isPossible({ driver }))(driver, () => {
    test('unmounts when told to, and the process ends', async () => {
      const mounted = await mount({ driver });
      expect(readFileSync(join(mounted.mountPoint, 'hello'), 'utf8')).toBe('Hello world\n');
      await mounted.ask('unmount', {}, 'unmounted');
      expect(isInMountTable(mounted.mountPoint)).toBe(false);
      expect(await mounted.exited).toBe(0);
      expect(mounted.messages.map(({ event }) => event)).toEqual(['ended']);
    });

    test('SIGTERM', async () => {
      const mounted = await mount({ driver });
      mounted.child.kill('SIGTERM');
      expect(await mounted.exited).toBe(0);
      expect(isInMountTable(mounted.mountPoint)).toBe(false);
    });

    test('notices an umount from outside, plain and lazy', async () => {
      const first = await mount({ driver });
      run('umount', [first.mountPoint]);
      expect(await first.exited).toBe(0);
      const second = await mount({ driver });
      const reader = await holder(join(second.mountPoint, 'hello'));
      run('umount', ['-l', second.mountPoint]);
      await new Promise((resolve) => setTimeout(resolve, 1200));
      expect(second.child.exitCode).toBe(null);
      reader.stdin?.end('go on\n');
      const [text] = (await once(reader.stdout ?? expect.unreachable(), 'data')) as [Buffer];
      expect(text.toString()).toBe('Hello world\n');
      expect(await second.exited).toBe(0);
    });

    test('busy: refused, said by whom, then lazily, and open files go on', async () => {
      const mounted = await mount({ driver });
      const reader = await holder(join(mounted.mountPoint, 'big'));
      const { event, error } = await mounted.ask('unmount', {}, 'unmounted', 'not unmounted');
      expect([event, error?.code]).toEqual(['not unmounted', 'BUSY']);
      expect(isInMountTable(mounted.mountPoint)).toBe(true);
      const found = await pathHolders(mounted.mountPoint);
      expect(found).toContainEqual({ pid: reader.pid, command: 'sh', what: `file ${mounted.mountPoint}/big` });
      await mounted.ask('unmount', { lazy: true }, 'unmounted');
      expect(isInMountTable(mounted.mountPoint)).toBe(false);
      let bytes = 0;
      reader.stdout?.on('data', (chunk: Buffer) => (bytes += chunk.length));
      reader.stdin?.end('go on\n');
      await once(reader, 'close');
      expect(bytes).toBe(bigBytes);
      expect(await mounted.exited).toBe(0);
    });

    test('SIGKILL leaves no mount behind, idle or with a file open', async () => {
      const idle = await mount({ driver });
      idle.child.kill('SIGKILL');
      await isGone(idle.mountPoint);
      const busy = await mount({ driver });
      const reader = await holder(join(busy.mountPoint, 'big'));
      busy.child.kill('SIGKILL');
      await isGone(busy.mountPoint);
      reader.stdin?.end('go on\n');
      await once(reader, 'close');
    });

    test('a crash in the middle of a request', async () => {
      const mounted = await mount({ driver });
      await mounted.ask('break', { how: 'crash' }, 'done');
      expect(() => run('cat', [join(mounted.mountPoint, 'cached')])).toThrow();
      expect(await mounted.exited).toBe('SIGKILL');
      await isGone(mounted.mountPoint);
    });

    test('the watcher ends with an orderly unmount and touches no later mount', async () => {
      const point = mountPoint();
      const first = await mountEverything({ driver, mountPoint: point });
      first.child.kill('SIGTERM');
      expect(await first.exited).toBe(0);
      await expect.poll(() => watchersOf(point)).toEqual([]);
      const second = await mountEverything({ driver, mountPoint: point });
      expect(watchersOf(point)).toHaveLength(1);
      expect(run('cat', [join(point, 'hello')])).toBe('Hello world\n');
      second.child.kill('SIGTERM');
      expect(await second.exited).toBe(0);
    });

    test('mount points that cannot be used', async () => {
      const point = mountPoint();
      const nothing = await failure({ driver, mountPoint: join(point, 'nothing') });
      expect(nothing).toEqual({
        code: 'MOUNT_POINT',
        message: `MountError: mount point ${point}/nothing does not exist; create it with mkdir first`,
      });
      writeFileSync(join(point, 'file'), '');
      expect(await failure({ driver, mountPoint: join(point, 'file') })).toMatchObject({
        code: 'MOUNT_POINT',
        message: expect.stringContaining('is not a directory') as string,
      });
      expect(await failure({ driver, mountPoint: join(point, 'file', 'below') })).toMatchObject({ code: 'MOUNT_POINT' });
      expect(await failure({ driver, mountPoint: point })).toMatchObject({
        code: 'MOUNT_POINT',
        message: expect.stringContaining('is not empty') as string,
      });
      expect(await failure({ driver, mountPoint: point, flags: ['noexec', 'wrong=1'] })).toMatchObject({
        code: 'MOUNT_FAILED',
        message: expect.stringContaining("'wrong=1'") as string,
      });
      const over = await mountEverything({
        driver,
        mountPoint: point,
        flags: ['nonempty', 'noexec', 'x-systemd.automount', 'dev'],
      });
      const line = readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .find((text) => text.includes(` ${point} `));
      expect(line).toMatch(/ ro,nosuid,noexec/);
      expect(await failure({ driver, mountPoint: point })).toMatchObject({
        code: 'MOUNT_POINT',
        message: expect.stringContaining('is mounted here already') as string,
      });
      over.child.kill('SIGTERM');
      expect(await over.exited).toBe(0);
    });

    test('the daemon may look at its own mount, if it does not wait for it', async () => {
      const mounted = await mount({ driver });
      expect((await mounted.ask('look', {}, 'looked')).line).toBe('12');
    });

    test('a mount point of odd characters', async () => {
      const point = join(mountPoint(), 'with space, comma \\ and \u00fc\n$(x)');
      mkdirSync(point);
      const mounted = await mountEverything({ driver, mountPoint: point });
      expect(run('cat', [join(point, 'hello')])).toBe('Hello world\n');
      await mounted.ask('unmount', {}, 'unmounted');
      expect(await mounted.exited).toBe(0);
      expect(readdirSync(point)).toEqual([]);
    });

    test('a dead mount of ours is cleared away first', async () => {
      const point = mountPoint();
      for (let i = 0; i < 2; i += 1) {
        const dead = await mountEverything({ driver, mountPoint: point });
        run('ls', [point]);
        for (const watcher of watchersOf(point)) process.kill(watcher, 'SIGKILL');
        dead.child.kill('SIGKILL');
        await dead.exited;
        expect(() => readdirSync(point)).toThrow(/ENOTCONN|not connected/);
      }
      const alive = await mountEverything({ driver, mountPoint: point });
      expect(await alive.message('log')).toMatchObject({ line: expect.stringContaining('a daemon that is gone') as string });
      expect(run('cat', [join(point, 'hello')])).toBe('Hello world\n');
      alive.child.kill('SIGTERM');
      expect(await alive.exited).toBe(0);
      expect(isInMountTable(point)).toBe(false);
    });
  }),
);

/** Process numbers of the watchers of a mount point. */
function watchersOf(path: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
        return words[0] === '/bin/sh' && words.includes(path) && words.some((word) => word.startsWith('trap'));
      } catch {
        return false;
      }
    })
    .map(Number);
}

describe.skipIf(!isPossible({ driver: 'epoll' }))('kernel driver', () => {
  test('waits for requests with epoll, not with pumps', async () => {
    const mounted = await mount({ driver: 'epoll' });
    const threads = readdirSync(`/proc/${mounted.child.pid}/task`);
    const waiting = threads.filter((id) => readFileSync(`/proc/${mounted.child.pid}/task/${id}/wchan`, 'utf8').includes('fuse'));
    expect(waiting).toEqual([]);
    expect(mounted.messages.filter(({ event }) => event === 'log')).toEqual([]);
  });

  test('reads ahead further than the kernel would', async () => {
    const { mountPoint: point } = await mount({ driver: 'epoll' });
    const device = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .find((text) => text.includes(` ${point} `))
      ?.split(' ')[2];
    expect(readFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, 'utf8').trim()).toBe('4096');
  });

  /** What is past the page cache is waited for by the reader itself, who can be interrupted; SIGUSR1 is handled. */
  const slowReader = (mounted: MountedEverything): ChildProcess => {
    const script =
      '$SIG{USR1} = sub {}; open(my $f, "<", $ARGV[0]); my $n = sysread($f, my $text, 100); print defined($n) ? $text : $!';
    const child = spawn('perl', ['-e', script, join(mounted.mountPoint, 'slow-report')], { cwd: '/' });
    holders.push(child);
    return child;
  };
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  test.each([
    ['SIGINT', 'cached'],
    ['SIGKILL', 'cached'],
    ['SIGINT', 'direct'],
    ['SIGQUIT', 'direct'],
    ['SIGKILL', 'direct'],
  ] as const)('%s ends a slow read: %s', async (signal, way) => {
    const mounted = await mount({ driver: 'epoll' });
    const reader =
      way === 'direct' ? slowReader(mounted) : spawn('cat', [join(mounted.mountPoint, 'slow')], { cwd: '/', stdio: 'ignore' });
    await mounted.message('slow');
    await pause(100);
    const start = Date.now();
    reader.kill(signal);
    const [, by] = (await once(reader, 'close')) as [number, string];
    expect(by).toBe(signal);
    expect(Date.now() - start).toBeLessThan(5000);
    expect((await mounted.counts()).get('interrupt') ?? 0).toBe(way === 'direct' ? 1 : 0);
    expect(run('cat', [join(mounted.mountPoint, 'hello')])).toBe('Hello world\n');
    mounted.child.kill('SIGTERM');
    expect(await mounted.exited).toBe(0);
  });

  test.each([
    ['handled', ['SIGUSR1', 'SIGUSR1']],
    ['stopped', ['SIGTSTP', 'SIGCONT']],
  ] as const)('a read goes on when its reader is %s', async (_, signals) => {
    const mounted = await mount({ driver: 'epoll', slowMs: 1000 });
    const reader = slowReader(mounted);
    const text: Buffer[] = [];
    reader.stdout?.on('data', (chunk: Buffer) => text.push(chunk));
    await mounted.message('slow');
    for (const signal of signals) {
      await pause(150);
      reader.kill(signal);
    }
    await once(reader, 'close');
    expect(Buffer.concat(text).toString()).toBe('at last\n');
    expect((await mounted.counts()).get('interrupt')).toBe(1);
  });

  test('a signal that is handled, and then one that kills', async () => {
    const mounted = await mount({ driver: 'epoll' });
    const reader = slowReader(mounted);
    await mounted.message('slow');
    await pause(100);
    reader.kill('SIGUSR1');
    await pause(300);
    expect(reader.exitCode ?? reader.signalCode).toBe(null);
    reader.kill('SIGTERM');
    const start = Date.now();
    expect((await once(reader, 'close'))[1]).toBe('SIGTERM');
    expect(Date.now() - start).toBeLessThan(5000);
  });

  test('other requests are answered while a read is slow', async () => {
    const mounted = await mount({ driver: 'epoll', slowMs: 1500 });
    const reader = spawn('cat', [join(mounted.mountPoint, 'slow')], { cwd: '/' });
    const text: Buffer[] = [];
    reader.stdout.on('data', (chunk: Buffer) => text.push(chunk));
    await mounted.message('slow');
    expect(run('cat', [join(mounted.mountPoint, 'hello')])).toBe('Hello world\n');
    expect(text).toEqual([]);
    await once(reader, 'close');
    expect(Buffer.concat(text).toString()).toBe('at last\n');
  });

  test('a notification that has to wait for a lock of a lookup stops nobody else', async () => {
    const mounted = await mount({ driver: 'epoll' });
    run('stat', [join(mounted.mountPoint, 'odd', '-dash')]);
    await mounted.ask('break', { how: 'slow lookups' }, 'done');
    const looking = spawn('stat', [join(mounted.mountPoint, 'absent')], { cwd: '/', stdio: 'ignore' });
    await mounted.message('slow');
    await mounted.ask('remove', {}, 'done');
    await pause(100);
    const start = Date.now();
    expect(run('cat', [join(mounted.mountPoint, 'odd', '-dash')])).toMatch(/^odd/);
    expect(await mounted.counts()).toBeDefined();
    expect(looking.exitCode).toBe(null);
    expect(Date.now() - start).toBeLessThan(1200);
    await once(looking, 'close');
    mounted.child.kill('SIGTERM');
    expect(await mounted.exited).toBe(0);
  });

  test.each([
    [
      'stays silent',
      `import net from 'node:net';
       const { read } = net.Socket.prototype;
       const file = ['epoll', 'reader'].join('-');
       net.Socket.prototype.read = function (length) {
         return new Error().stack.includes(file) ? null : read.call(this, length);
       };`,
    ],
    ['is not as expected', "import net from 'node:net'; net.Socket.prototype.connect = function () { return this; };"],
  ])('falls back to pumps where epoll %s', async (_, preload) => {
    const mounted = await mount({ driver: 'epoll', preload });
    expect((await mounted.message('log')).line).toContain('thread pool');
    expect(run('cat', [join(mounted.mountPoint, 'hello')])).toBe('Hello world\n');
    expect(run('ls', [join(mounted.mountPoint, 'many')]).length).toBeGreaterThan(20_000);
    await mounted.ask('unmount', {}, 'unmounted');
    expect(await mounted.exited).toBe(0);
  });

  test('abort in sysfs breaks the connection, and nothing is left', async () => {
    const mounted = await mount({ driver: 'epoll' });
    const device = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .find((text) => text.includes(` ${mounted.mountPoint} `))
      ?.split(' ')[2];
    const minor = device?.split(':')[1] ?? expect.unreachable();
    const control = '/sys/fs/fuse/connections';
    const mountedHere = readdirSync(control).length === 0;
    if (mountedHere) run('mount', ['-t', 'fusectl', 'none', control]);
    try {
      const reader = await holder(join(mounted.mountPoint, 'big'));
      writeFileSync(join(control, minor, 'abort'), '1');
      const { error } = await mounted.message('broken');
      expect(error).toMatchObject({ code: 'MOUNT_FAILED', message: expect.stringContaining('ECONNABORTED') as string });
      expect(await mounted.exited).toBe(3);
      expect(isInMountTable(mounted.mountPoint)).toBe(false);
      reader.stdin?.end('go on\n');
      await once(reader, 'close');
    } finally {
      if (mountedHere) run('umount', [control]);
    }
  });

  test('umount -f with a file open leaves no dead mount', async () => {
    const mounted = await mount({ driver: 'epoll' });
    await holder(join(mounted.mountPoint, 'big'));
    expect(() => run('umount', ['-f', mounted.mountPoint])).toThrow(/busy/);
    await mounted.exited;
    expect(isInMountTable(mounted.mountPoint)).toBe(false);
  });

  test('an answer that is not there when the mount ends harms nobody', async () => {
    const mounted = await mount({ driver: 'epoll', slowMs: 1500 });
    const reader = spawn('cat', [join(mounted.mountPoint, 'slow')], { cwd: '/', stdio: 'ignore' });
    await mounted.message('slow');
    run('umount', ['-l', mounted.mountPoint]);
    expect((await once(reader, 'close'))[0]).toBe(0);
    expect(await mounted.exited).toBe(0);
    expect(mounted.messages.find(({ event }) => event === 'ended')).toMatchObject({ openFiles: 0, openDirectories: 0 });
  });

  test('counts operations', async () => {
    const mounted = await mount({ driver: 'epoll' });
    for (let i = 0; i < 3; i += 1) run('cat', [join(mounted.mountPoint, 'hello')]);
    const counts = await mounted.counts();
    expect(counts.get('open')).toBe(3);
    expect(counts.get('read')).toBe(1);
    expect(counts.get('flush')).toBe(1);
    run('ls', [join(mounted.mountPoint, 'many')]);
    const listed = (await mounted.counts()).get('readdirplus') ?? 0;
    run('ls', [join(mounted.mountPoint, 'many')]);
    expect((await mounted.counts()).get('readdirplus')).toBe(listed);
  });

  test('a listing of 20,000 entries does not cost much of the driver', async () => {
    const mounted = await mount({ driver: 'epoll' });
    run('ls', ['-f', join(mounted.mountPoint, 'many')]);
    expect((await mounted.counts()).get('lookup')).toBeLessThan(5);
  });
});

describe.skipIf(!isPossible({ driver: 'epoll', uid: nobody }))('who may look', () => {
  const user = { uid: nobody, gid: nobody };
  let restoreDevice: () => Promise<void> = () => Promise.resolve();
  beforeAll(async () => {
    restoreDevice = await openDeviceForUsers();
  }, 600_000);
  afterAll(() => restoreDevice());

  test.each(drivers.filter((driver) => driver !== 'pumps' && isPossible({ driver })))(
    '%s: without allow_other only the one who mounted',
    async (driver) => {
      const mine = await mount({ driver });
      expect(() => run('ls', [mine.mountPoint], user)).toThrow(/Permission denied/);
      expect(run('cat', [join(mine.mountPoint, 'private')])).toBe('private\n');
      const theirs = await mount({ driver, uid: nobody, owner: nobody });
      expect(() => run('ls', [theirs.mountPoint])).toThrow(/Permission denied/);
      expect(run('cat', [join(theirs.mountPoint, 'private')], user)).toBe('private\n');
    },
  );

  test.each(drivers.filter((driver) => driver !== 'pumps' && isPossible({ driver })))(
    '%s: with allow_other the kernel checks',
    async (driver) => {
      const mounted = await mount({ driver, allowOther: true });
      expect(run('cat', [join(mounted.mountPoint, 'hello')], user)).toBe('Hello world\n');
      expect(() => run('cat', [join(mounted.mountPoint, 'private')], user)).toThrow(/Permission denied/);
      expect(() => run('ls', [join(mounted.mountPoint, 'private-directory')], user)).toThrow(/Permission denied/);
      expect(run('cat', [join(mounted.mountPoint, 'private')])).toBe('private\n');
    },
  );

  test('ACLs let in whom they name', async () => {
    const mounted = await mount({ driver: 'epoll', allowOther: true });
    expect(run('cat', [join(mounted.mountPoint, 'attributes', 'acl')], user)).toBe('secret\n');
    expect(() => run('cat', [join(mounted.mountPoint, 'attributes', 'acl')], { uid: 65533, gid: 65533 })).toThrow(
      /Permission denied/,
    );
  });

  test('an ordinary user needs the device, the program and leave to let others in', async () => {
    expect(await failure({ driver: 'epoll', uid: nobody, allowOther: true })).toMatchObject({
      code: 'NO_PRIVILEGE',
      message: expect.stringContaining('user_allow_other') as string,
    });
    expect(await failure({ driver: 'epoll', uid: nobody, flags: ['suid'] })).toMatchObject({
      code: 'NO_PRIVILEGE',
      message: expect.stringContaining("'suid'") as string,
    });
    for (const driver of drivers.filter((name) => isPossible({ driver: name }))) {
      const { code, message } = await failure({ driver, uid: nobody, deviceMode: '600' });
      expect([code, message]).toEqual(['NO_PRIVILEGE', expect.stringContaining('no permission on /dev/fuse')]);
    }
    const point = mountPoint();
    expect(await failure({ driver: 'epoll', uid: nobody, mountPoint: point })).toMatchObject({
      code: 'NO_PRIVILEGE',
      message: expect.stringContaining(point) as string,
    });
  });

  const without = (name: string, message: string): string => `
    import Module from 'node:module';
    const { _load } = Module;
    Module._load = function (id, ...rest) {
      const code = '${message.includes('libfuse') ? 'ERR_DLOPEN_FAILED' : 'MODULE_NOT_FOUND'}';
      if (id === '${name}') throw Object.assign(new Error('${message}'), { code });
      return _load.call(this, id, ...rest);
    };`;

  test.each([
    [
      'koffi',
      { driver: 'epoll', uid: nobody, preload: without('koffi', 'Cannot find module') },
      'NO_PRIVILEGE',
      'npm install koffi',
    ],
    [
      'fuse-native',
      { driver: 'fuse-native', preload: without('fuse-native', 'Cannot find module') },
      'NO_FUSE',
      'npm install fuse-native',
    ],
    [
      'libfuse2',
      { driver: 'fuse-native', preload: without('fuse-native', 'libfuse.so.2: cannot open shared object file') },
      'NO_FUSE',
      'apt install libfuse2',
    ],
    [
      'fusermount3',
      { driver: 'epoll', uid: nobody, preload: "process.env.PATH = '/nonexistent';" },
      'NO_PRIVILEGE',
      'apt install fuse3',
    ],
    ['mount', { driver: 'epoll', preload: "process.env.PATH = '/nonexistent';" }, 'MOUNT_FAILED', 'apt install mount'],
  ] as const)('%s is not installed', async (_, options, code, hint) => {
    expect(await failure(options)).toEqual({ code, message: expect.stringContaining(hint) as string });
  });

  test('a user unmounts, is refused while busy, and killed leaves nothing', async () => {
    const mounted = await mount({ driver: 'epoll', uid: nobody, owner: nobody });
    const reader = spawn('/bin/sh', ['-c', 'exec 3< "$1"; echo open; read -r line', 'sh', join(mounted.mountPoint, 'big')], {
      ...user,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    holders.push(reader);
    await once(reader.stdout, 'data');
    expect((await mounted.ask('unmount', {}, 'unmounted', 'not unmounted')).error?.code).toBe('BUSY');
    reader.stdin.end('go on\n');
    await once(reader, 'close');
    await mounted.ask('unmount', {}, 'unmounted');
    expect(await mounted.exited).toBe(0);
    const killed = await mount({ driver: 'epoll', uid: nobody, owner: nobody });
    killed.child.kill('SIGKILL');
    await isGone(killed.mountPoint);
  });

  test('a mount point that is a link', async () => {
    const point = mountPoint();
    const real = makeMountPoint();
    directories.push(real);
    rmdirSync(point);
    run('ln', ['-s', real, point]);
    const mounted = await mountEverything({ driver: 'epoll', mountPoint: point });
    expect(isInMountTable(real)).toBe(true);
    expect(await failure({ driver: 'epoll', mountPoint: point })).toMatchObject({
      code: 'MOUNT_POINT',
      message: expect.stringContaining('already') as string,
    });
    mounted.child.kill('SIGTERM');
    expect(await mounted.exited).toBe(0);
    expect(existsSync(real)).toBe(true);
  });
});
