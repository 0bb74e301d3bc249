/** Programs that people put into scripts, at work in staging directories; what they made is committed and compared. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, renameSync, statSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pbsfs } from '../support/command.js';
import { canMount, hasProgram } from '../support/mounted-everything.js';
import { mountPlace } from '../support/mounted-store.js';
import { emptyStore } from '../support/new-snapshots.js';
import { makeOddTree } from '../support/odd-trees.js';
import { Random, noise, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { beginStaging, isMounted, mountToStage, rsyncDifferences, type StagedMount } from '../support/staged-mount.js';
import { places } from '../support/store-table.js';

const mebibyte = 1 << 20;

function sh(script: string, ...args: string[]): string {
  return execFileSync('sh', ['-euc', script, 'sh', ...args], {
    encoding: 'utf8',
    timeout: 90_000,
    maxBuffer: 1 << 28,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', GIT_CONFIG_GLOBAL: '/dev/null' },
  });
}

describe.skipIf(!canMount).each(places)(`in staging for a store %s, seed ${seed}`, (storeAt) => {
  const directory = scratchDirectory();
  const source = join(directory, 'source');
  let mount: StagedMount;
  let count = 0;

  /** A staging directory with an empty archive `x.pxar`. */
  const begin = (): { staging: string; archive: string; commit: () => string } => {
    count += 1;
    const group = `host/program${count}`;
    const staging = beginStaging(mount, group);
    mkdirSync(join(staging, 'x.pxar'));
    const commit = (): string => {
      renameSync(staging, join(mount.mountPoint, group, 'now'));
      return join(mount.mountPoint, group, 'latest');
    };
    return { staging, archive: join(staging, 'x.pxar'), commit };
  };

  beforeAll(async () => {
    mkdirSync(source);
    makeOddTree(source, new Random(seed), { entries: 200 });
    // No archive has a place for these.
    sh('find "$1" ! -type l -exec setfattr -x security.other {} + 2> /dev/null || true', source);
    mount = await mountToStage({ storeAt });
  });
  afterAll(() => mount.unmount());

  test('cp -a, then rsync of a changed source', async () => {
    const { archive, commit } = begin();
    sh('cp -a "$1/." "$2/"', source, archive);
    const changed = join(directory, 'changed');
    sh('cp -a "$1" "$2"; cd "$2"; printf new > new; mkdir made; ln new made/linked', source, changed);
    expect(await rsyncDifferences(changed, archive)).not.toEqual([]);
    sh('rsync -aAXH --delete "$1/" "$2/"', changed, archive);
    expect(await rsyncDifferences(changed, archive)).toEqual([]);
    expect(await rsyncDifferences(changed, join(commit(), 'x.pxar'))).toEqual([]);
  });

  test.each([
    ['rsync -aAXH', 'rsync -aAXH "$1/" "$2/"'],
    ['rsync -aAXHS --inplace', 'rsync -aAXHS --inplace "$1/" "$2/"'],
    ['tar x', 'tar -C "$1" --xattrs --xattrs-include="*" --acls -c . | tar -C "$2" --xattrs --xattrs-include="*" --acls --same-owner -xp'],
  ])('%s', async (name, script) => {
    const { archive, commit } = begin();
    sh(script, source, archive);
    const lines = await rsyncDifferences(source, join(commit(), 'x.pxar'));
    // tar has seconds where rsync compares nanoseconds.
    expect(name === 'tar x' ? lines.filter((line) => !/^\.[dfL]\.\.t\.+ /.test(line)) : lines).toEqual([]);
  });

  test.skipIf(!hasProgram('git'))('git clone, commits in it, git fsck', async () => {
    const { archive, commit } = begin();
    const origin = join(directory, 'origin');
    const identity = '-c user.name=n -c user.email=e';
    sh(`mkdir "$1"; cd "$1"; git init -q .; for i in $(seq 50); do seq $i > f$i; git add .; git ${identity} commit -qm $i; done`, origin);
    sh(`git clone -q "$1" "$2/clone"; cd "$2/clone"; echo x > x; git add .; git ${identity} commit -qm x; git gc -q; git fsck --strict`, origin, archive);
    const copy = join(directory, 'clone');
    sh('cp -a "$1" "$2"', join(archive, 'clone'), copy);
    const made = join(commit(), 'x.pxar');
    expect(await rsyncDifferences(copy, join(made, 'clone'))).toEqual([]);
    expect(sh('git -c safe.directory="*" -C "$1" fsck --strict; git -c safe.directory="*" -C "$1" rev-list --count HEAD', join(made, 'clone'))).toMatch(/^51$/m);
  });

  test.skipIf(!hasProgram('sqlite3'))('sqlite with a write-ahead log', () => {
    const { archive, commit } = begin();
    const database = join(archive, 'a.db');
    const inserts = 'PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); ';
    sh('sqlite3 "$1" "$2"', database, inserts);
    for (let n = 0; n < 20; n++) sh('sqlite3 "$1" "$2"', database, `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 500) INSERT INTO t(b) SELECT 'row ' || x FROM c;`);
    expect(sh('sqlite3 "$1" "PRAGMA integrity_check; SELECT count(*) FROM t"', database)).toBe('ok\n10000\n');
    const copy = join(directory, 'a.db');
    sh('cp "$1" "$2"', join(commit(), 'x.pxar/a.db'), copy);
    expect(sh('sqlite3 "$1" "PRAGMA integrity_check; SELECT count(*) FROM t"', copy)).toBe('ok\n10000\n');
  });

  test('dd, in pieces of any size, over what is there, and with holes', () => {
    const { staging, commit } = begin();
    const disk = join(directory, 'disk');
    writeFileSync(disk, noise('disk', 23 * mebibyte + 512));
    truncateSync(disk, 64 * mebibyte);
    sh('for bs in 512k 4M 1000; do dd if="$1" of="$2/disk-$bs.img" bs=$bs count=70000 conv=notrunc status=none; done', disk, staging);
    sh('dd if="$1" of="$2/sparse.img" bs=4M conv=sparse,fsync status=none', disk, staging);
    sh('dd if="$1" of="$2/disk-4M.img" bs=1M seek=7 count=3 conv=notrunc status=none; dd if="$1" of="$1" bs=1M seek=7 count=3 conv=notrunc status=none', disk, staging);
    const made = commit();
    const content = readFileSync(disk);
    expect(readFileSync(join(made, 'disk-4M.img')).equals(content)).toBe(true);
    for (const name of ['disk-512k.img', 'disk-1000.img', 'sparse.img']) {
      expect(readFileSync(join(made, name)).subarray(0, 7 * mebibyte).equals(content.subarray(0, 7 * mebibyte)), name).toBe(true);
      expect(statSync(join(made, name)).size, name).toBe(64 * mebibyte);
    }
    expect(statSync(join(made, 'sparse.img')).blocks * 512).toBeLessThan(30 * mebibyte);
  });

  test.skipIf(!hasProgram('qemu-img'))('qemu-img convert, from qcow2 and back', () => {
    const { staging, commit } = begin();
    const raw = join(directory, 'disk');
    sh('qemu-img convert -f raw -O qcow2 "$1" "$2.qcow2"; qemu-img convert -O raw "$2.qcow2" "$3/drive.img"', raw, join(directory, 'drive'), staging);
    expect(sh('qemu-img compare -f raw -F qcow2 "$1" "$2"', join(staging, 'drive.img'), join(directory, 'drive.qcow2'))).toMatch(/identical/);
    expect(sh('qemu-img compare -f raw -F qcow2 "$1" "$2"', join(commit(), 'drive.img'), join(directory, 'drive.qcow2'))).toMatch(/identical/);
  });

  test('a file system is made in an image, mounted, used, and is whole in the snapshot', async () => {
    const { staging, commit } = begin();
    const image = join(staging, 'root.img');
    const inside = join(directory, 'inside');
    mkdirSync(inside);
    sh('truncate -s 128M "$1"; mkfs.ext4 -q -F "$1"; mount -o loop "$1" "$2"', image, inside);
    sh('cp -a "$1" "$2/copy"; sync -f "$2"; dd if=/dev/urandom of="$2/large" bs=1M count=20 status=none; rm "$2/large"', source, inside);
    sh('umount "$1"; fsck.ext4 -fn "$2" 2>&1', inside, image);
    const made = join(commit(), 'root.img');
    sh('mount -o ro,loop,noload "$1" "$2"', made, inside);
    const lines = await rsyncDifferences(source, join(inside, 'copy'));
    sh('umount "$1"', inside);
    expect(lines).toEqual([]);
  });

  test('a dump through a pipe, to a small file and into an archive', () => {
    const { staging, archive, commit } = begin();
    sh('seq 1000000 > "$1/dump.sql"; seq 1000 | gzip > "$1/../small.sql.gz"', archive);
    expect(() => sh('seq 5000000 > "$1/large.sql"', staging)).toThrow(/File too large/);
    sh('rm "$1/large.sql"', staging);
    const made = commit();
    expect(sh('tail -n 1 "$1/x.pxar/dump.sql"; gzip -dc "$1/small.sql.gz" | tail -n 1', made)).toBe('1000000\n1000\n');
    expect(readdirSync(made)).not.toContain('large.sql');
  });

  test('df tells of the spool below staging, and of the datastore elsewhere', () => {
    const { staging, archive } = begin();
    const [above, top, below] = [mount.mountPoint, staging, archive].map((path) => statfsSync(path));
    const spool = statfsSync(mount.spool);
    expect([top?.blocks, below?.blocks, top?.files]).toEqual([spool.blocks, spool.blocks, spool.files]);
    expect(above?.files).toBe(0);
    sh('rm -r "$1"', staging);
  });
});

describe.skipIf(!canMount)('the driver fuse-native', () => {
  test('refuses a writable mount before anything is mounted', async () => {
    const place = mountPlace();
    const refused = await pbsfs(['mount', '--writable', '--driver', 'fuse-native', '--spool', join(place.directory, 'spool'), emptyStore(), place.mountPoint]);
    expect(refused).toMatchObject({ status: 6 });
    expect(refused.stderr).toMatch(/fuse-native only mounts trees that are read; for a writable one choose the kernel driver/);
    expect(isMounted(place)).toBe(false);
  });
});
