/** Clones, writes, names and restarts at random, compared with the same on plain copies, and with what is committed in the end. */
import { execFileSync } from 'node:child_process';
import { closeSync, copyFileSync, linkSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, truncateSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { isClone, spooled } from '../../support/cloned-files.js';
import { eventually, isAlive, pbsfs } from '../../support/command.js';
import { canMount } from '../../support/mounted-everything.js';
import { emptyStore } from '../../support/new-snapshots.js';
import { noise, Random, seed, text } from '../../support/random.js';
import { compareRandomOperations } from '../../support/random-file-operations.js';
import { scratchDirectory } from '../../support/scratch.js';
import { beginStaging, commit, isMounted, mountToStage, rsyncDifferences, type StagedMount } from '../../support/staged-mount.js';
import { loadSystemCalls } from '../../support/system-calls.js';

const group = 'host/web1';
const operations = 3000;
const restartEvery = 700;
const filesMax = 40;
const sizeMax = 300_000;
const directory = scratchDirectory();
const source = join(directory, 'source');
const store = join(directory, 'store');

beforeAll(() => {
  const random = new Random(seed);
  mkdirSync(source);
  for (let i = 0; i < 30; i++) {
    const size = random.below(random.pick([100, 5000, sizeMax]));
    writeFileSync(join(source, `f${i}`), i % 2 === 0 ? noise(`f${i}`, size) : text(`f${i}`, size));
  }
  // With a run of zeros that is a chunk of its own.
  truncateSync(join(source, 'f3'), 50 << 20);
  writeFileSync(join(source, 'f3'), 'end', { flag: 'a' });
  emptyStore(store);
}, 60_000);

/** The same things to what is at the same place of two directories. */
class Pair {
  readonly #random = new Random(seed);
  readonly #s = loadSystemCalls();
  readonly history: string[] = [];
  readonly plain: string;
  readonly staged: string;
  readonly snapshot: string;

  constructor(plain: string, staged: string, snapshot: string) {
    this.plain = plain;
    this.staged = staged;
    this.snapshot = snapshot;
  }

  step(): void {
    const random = this.#random;
    const names = readdirSync(this.plain).sort();
    const act = names.length === 0 ? 'clone' : random.pick(names.length > filesMax ? ['unlink'] : acts);
    const name = names.length === 0 ? 'none' : random.pick(names);
    const other = `g${random.below(filesMax)}`;
    const isHuge = names.length > 0 && statSync(join(this.plain, name)).size > 10 * sizeMax;
    const [offset, length] = [random.below(sizeMax), random.below(20_000)];
    this.history.push(`${act} ${name} ${other} ${offset} ${length}`);
    const sources = readdirSync(source).filter((each) => each !== 'f3' || random.below(8) === 0);
    const from = random.pick(sources);
    const both = (work: (directory: string) => void): void => [this.plain, this.staged].forEach(work);
    switch (act) {
      case 'clone':
        this.#clone(join(source, from), join(this.plain, other), 'plain');
        return this.#clone(join(this.snapshot, from), join(this.staged, other), 'staged');
      case 'clone of it':
        if (name === other) return;
        return both((at) => this.#clone(join(at, name), join(at, other), 'staged'));
      case 'beginning':
        return both((at) => this.#range(join(at === this.plain ? source : this.snapshot, from), join(at, other), offset, length));
      case 'write':
        return both((at) => this.#write(join(at, name), offset, noise(String(offset), length)));
      case 'append':
        return isHuge ? undefined : both((at) => writeFileSync(join(at, name), noise(String(offset), length), { flag: 'a' }));
      case 'truncate':
        return both((at) => truncateSync(join(at, name), random.below(1) + offset));
      case 'empty':
        return both((at) => writeFileSync(join(at, name), ''));
      case 'rename':
        return both((at) => renameSync(join(at, name), join(at, other)));
      case 'link':
        return names.includes(other) ? undefined : both((at) => linkSync(join(at, name), join(at, other)));
      case 'unlink':
        return both((at) => unlinkSync(join(at, name)));
      case 'sync':
        return void execFileSync('sync', ['-d', join(this.staged, name)]);
      default:
        return this.compare(name);
    }
  }

  compare(name: string): void {
    const [a, b] = [join(this.plain, name), join(this.staged, name)];
    if (statSync(a).size !== statSync(b).size || !readFileSync(a).equals(readFileSync(b))) throw new Error(`${name} differs`);
  }

  #clone(from: string, to: string, how: 'plain' | 'staged'): void {
    rmSync(to, { force: true });
    if (how === 'plain') copyFileSync(from, to);
    else execFileSync('cp', ['--sparse=never', from, to]);
  }

  #range(from: string, to: string, offset: number, length: number): void {
    const [a, b] = [openSync(from, 'r'), openSync(to, 'a')];
    closeSync(b);
    const target = openSync(to, 'r+');
    const at = Buffer.alloc(8);
    at.writeBigInt64LE(BigInt(offset % 3 === 0 ? 0 : statSync(to).size));
    expect(typeof this.#s.copy_file_range(a, Buffer.from(at), target, Buffer.from(at), length * 5, 0)).toBe('number');
    closeSync(a);
    closeSync(target);
  }

  #write(path: string, offset: number, bytes: Buffer): void {
    const fd = openSync(path, 'r+');
    writeSync(fd, bytes, 0, bytes.length, offset);
    closeSync(fd);
  }
}

const acts = ['clone', 'clone', 'clone', 'clone of it', 'beginning', 'beginning', 'write', 'append', 'truncate', 'empty', 'rename', 'link', 'unlink', 'sync', 'compare', 'compare'] as const;

async function restart(mount: StagedMount, kills: boolean): Promise<void> {
  if (!kills) {
    await mount.unmount();
  } else {
    const pid = await mount.daemon();
    process.kill(pid, 'SIGKILL');
    await eventually(() => !isAlive(pid) && !isMounted(mount), 'the daemon is gone');
  }
  await mount.again();
}

async function mounted(mode: string): Promise<{ mount: StagedMount; archive: string; snapshot: string }> {
  const copy = join(scratchDirectory(), 'store');
  execFileSync('cp', ['-a', store, copy]);
  const made = await pbsfs(['backup', '--store', copy, '--id', 'web1', '--mode', mode === 'legacy' ? mode : 'data', '--time', '2026-11-21T19:00:00Z', `x.pxar:${source}`]);
  expect(made).toMatchObject({ status: 0 });
  const mount = await mountToStage({ store: copy, args: ['--mode', mode] });
  const archive = join(beginStaging(mount, group), 'x.pxar');
  mkdirSync(archive);
  return { mount, archive, snapshot: join(mount.mountPoint, group, '2026-11-21T19:00:00Z', 'x.pxar') };
}

describe.skipIf(!canMount)('at random', () => {
  test.each(['metadata', 'data', 'legacy'])(`files and names, committed in mode %s, seed ${seed}`, { timeout: 400_000 }, async (mode) => {
    const { mount, archive, snapshot } = await mounted(mode);
    const plain = join(scratchDirectory(), 'plain');
    mkdirSync(plain);
    const pair = new Pair(plain, archive, snapshot);
    try {
      for (let i = 1; i <= operations; i++) {
        pair.step();
        if (i % restartEvery === 0) await restart(mount, i % (2 * restartEvery) === 0);
      }
      for (const name of readdirSync(plain)) pair.compare(name);
    } catch (error) {
      throw new Error(`seed ${seed}, operation ${pair.history.length}\n${pair.history.slice(-30).join('\n')}`, { cause: error });
    }
    expect(readdirSync(archive).sort()).toEqual(readdirSync(plain).sort());
    const clones = readdirSync(archive).filter((name) => isClone(spooled(mount, group, `x.pxar/${name}`)));
    expect(clones.length).toBeGreaterThan(0);
    expect(await commit(join(mount.mountPoint, group))).toMatchObject({ status: 0, stderr: '' });
    const differences = await rsyncDifferences(plain, join(mount.mountPoint, group, 'latest/x.pxar'));
    // Times and owners are those of two moments.
    expect(differences.filter((line) => !/^\.[fd]\.\.[t.][.p]/.test(line))).toEqual([]);
    await mount.unmount();
  });

  test(`one file at a time, seed ${seed}`, { timeout: 200_000 }, async () => {
    const { mount, archive, snapshot } = await mounted('metadata');
    const calls = loadSystemCalls();
    const trusted = join('/dev/shm', `pbsfs-clone-${process.pid}`);
    for (let i = 0; i < 120; i++) {
      const name = `f${i % 30}`;
      if (name === 'f3') continue;
      copyFileSync(join(source, name), trusted);
      const tested = join(archive, `${name}-${i}`);
      execFileSync('cp', [join(snapshot, name), tested]);
      compareRandomOperations({ calls, trusted, tested, seed: seed + i, operations: 1 + (i % 17), sizeMax });
    }
    rmSync(trusted);
    await mount.unmount();
  });
});
