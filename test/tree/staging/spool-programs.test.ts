/** What people do to a directory, done to a mounted spool, which is mounted anew after each and still the same. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { canMount, hasProgram } from '../../support/mounted-everything.js';
import { noise } from '../../support/random.js';
import { scratchDirectory } from '../../support/scratch.js';
import { type MountedSpool, endSpool, mountSpool } from './spool-mount.js';
import { treeDigest, treeListing } from './tree-digest.js';

const hasRsync = hasProgram('rsync');
const hasGit = hasProgram('git');
const hasFio = hasProgram('fio');

function sh(script: string, ...args: string[]): string {
  return execFileSync('sh', ['-euc', script, 'sh', ...args], {
    encoding: 'utf8',
    timeout: 90_000,
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
}

/** All that cp -a, rsync -aAXH and tar carry. */
const makeTree = `cd "$1"; umask 022; mkdir -p a/b/c; i=0
  while [ $i -lt 200 ]; do head -c $((i * 41)) /dev/urandom > a/file-$i; i=$((i + 1)); done
  head -c 5000017 /dev/urandom > large; printf x > "$(printf 'f\\377\\376')"; printf x > "$(printf 'n%.0s' $(seq 255))"
  ln a/file-1 a/b/linked; ln a/file-1 again; ln -s ../a/file-1 a/link; ln -s "$(printf '\\377/A')" link-of-bytes
  mkfifo fifo; mknod null c 1 3; mknod block b 7 200; printf x > set-uid; chown 12:34 set-uid; chmod 6755 set-uid; chmod 1777 a/b/c
  chown -h 56:78 a/link; truncate -s 100M sparse; printf data | dd of=sparse bs=1M seek=50 conv=notrunc status=none
  setfacl -m u:65534:rwx,g:7:r a/file-2; setfacl -d -m u:65534:rwx a/b; setfattr -n user.note -v value a/file-3; setfattr -n trusted.t -v 1 a
  printf x > capable; chmod 755 capable; setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= capable
  python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
  touch -h -d '1960-01-02 03:04:05.678901234' large; touch -d '2100-01-01 00:00:00.000000001' a`;

describe.skipIf(!canMount)('programs', () => {
  const source = scratchDirectory();
  let spool: MountedSpool;
  const at = (name: string): string => join(spool.mountPoint, name);

  beforeAll(async () => {
    sh(makeTree, source);
    spool = await mountSpool();
  });
  afterAll(() => endSpool(spool));

  afterEach(async () => {
    const before = treeDigest(spool.mountPoint);
    expect(treeDigest(spool.directory)).toBe(before);
    await endSpool(spool);
    spool = await mountSpool(spool.directory);
    expect(treeDigest(spool.mountPoint)).toBe(before);
    sh('cd "$1"; rm -r ./*', spool.mountPoint);
  });

  const expectSame = (target: string): void => {
    if (treeDigest(target) === treeDigest(source)) return;
    expect(treeListing(target)).toEqual(treeListing(source));
    expect(sh('rsync -naAXHci --delete "$1/" "$2/"', source, target)).toBe('');
    expect.unreachable('the trees differ');
  };

  test('cp -a, into the mount and in it', () => {
    sh('cp -a "$1" "$2"; cp -a "$2" "$3"', source, at('copied'), at('again'));
    expectSame(at('copied'));
    expectSame(at('again'));
    expect(statSync(at('again/sparse')).blocks).toBeLessThan(1000);
    sh('rm -r "$1"', at('again'));
  });

  test.skipIf(!hasRsync)('rsync -aAXH, twice', () => {
    sh('mkdir "$2"; rsync -aAXH --sparse "$1/" "$2/"', source, at('synced'));
    expectSame(at('synced'));
    sh('cd "$1"; rm a/file-7; echo changed > a/file-8; touch -d 1990-01-01 again', at('synced'));
    sh('rsync -aAXH --inplace --delete "$1/" "$2/"', source, at('synced'));
    expect(sh('rsync -naAXHci --delete "$1/" "$2/"', source, at('synced'))).toBe('');
  });

  test('tar x', () => {
    const tar = "tar --warning=no-file-ignored --xattrs --xattrs-include='*' --acls";
    sh(`mkdir "$2"; ${tar} -C "$1" -cS . | ${tar} -C "$2" -xpS`, source, at('unpacked'));
    expectSame(at('unpacked'));
  });

  test.skipIf(!hasGit)('git clone, commit, gc and fsck', () => {
    const repository = scratchDirectory();
    const git = `git() { command git -c user.name=x -c user.email=x@example.org -c safe.directory='*' "$@"; }; `;
    const first = 'cd "$1"; git init -q .; for i in $(seq 200); do seq $i 500 > file-$i; done; git add .; git commit -qm first';
    const second = `git clone -q --no-local "$1" "$2"; cd "$2"; seq 9 > file-1; git mv file-2 moved; git commit -qam second;
      git gc -q; git fsck --strict; git status --porcelain`;
    sh(git + first, repository);
    expect(sh(git + second, repository, at('clone'))).toBe('');
  });

  test('64 writers at once, each with fsync', async () => {
    mkdirSync(at('writers'));
    const parts = Array.from({ length: 5 }, (_, part) => noise(`part ${part}`, 30_000));
    const write = async (number: number): Promise<void> => {
      const file = await open(at(`writers/${number}`), 'w');
      for (const part of parts) {
        await file.write(part);
        await file.sync();
      }
      await file.close();
    };
    await Promise.all(Array.from({ length: 64 }, (_, i) => write(i)));
    for (let i = 0; i < 64; i += 1) expect(readFileSync(at(`writers/${i}`)).equals(Buffer.concat(parts))).toBe(true);
    const directory = await open(at('writers'), 'r');
    await directory.sync();
    await directory.close();
    await spool.mounted.ask('sync', {}, 'synced');
  });

  test.skipIf(!hasFio)('fio --verify', () => {
    const load = ['--rw=randrw', '--bsrange=512-128k', '--size=8m', '--numjobs=3', '--fsync=50', '--ioengine=psync'];
    const check = ['--verify=crc32c', '--verify_fatal=1'];
    mkdirSync(at('fio'));
    execFileSync('fio', ['--name=job', `--directory=${at('fio')}`, ...load, ...check], { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' });
  });

  test('programs run from there', () => {
    writeFileSync(at('script'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
    expect(sh('"$1"; cp /bin/true "$2"; "$2"', at('script'), at('true'))).toBe('ran\n');
  });
});
