/**
 * Does the same random things to two files, one of them on a file system that is trusted, and compares what comes back: written and
 * mapped writes, truncation, holes, copies, appends. In the manner of fsx.
 */
import { constants } from 'node:fs';
import { Random } from './random.js';
import type { SystemCalls } from './system-calls.js';

const { O_RDWR, O_CREAT, O_APPEND, O_TRUNC, O_DIRECT } = constants;
const [KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE] = [1, 2, 16];
const [PROT_READ, PROT_WRITE, MAP_SHARED, MS_SYNC] = [1, 2, 1, 4];
const [SEEK_END, SEEK_DATA, SEEK_HOLE] = [2, 3, 4];
const pageBytes = 4096;

export interface RandomOperations {
  readonly calls: SystemCalls;
  readonly trusted: string;
  readonly tested: string;
  readonly seed: number;
  readonly operations: number;
  readonly sizeMax: number;
}

interface Files {
  trusted: number;
  tested: number;
}

/** Throws with the last operations when the files differ. */
export function compareRandomOperations({ calls: s, trusted, tested, seed, operations, sizeMax }: RandomOperations): void {
  const random = new Random(seed);
  const lengthMax = Math.floor(sizeMax / 4);
  const history: string[] = [];
  const fail = (why: string): never => {
    throw new Error(`seed ${seed}, operation ${history.length}: ${why}\n${history.slice(-20).join('\n')}`);
  };
  const ok = (result: number | string): number => (typeof result === 'number' ? result : fail(result));
  const open = (flags: number): Files => ({
    trusted: ok(s.open(trusted, O_RDWR | O_CREAT | flags, 0o600)),
    tested: ok(s.open(tested, O_RDWR | O_CREAT | flags, 0o600)),
  });
  let files = open(0);
  const close = (): void => {
    ok(s.close(files.trusted));
    ok(s.close(files.tested));
  };
  const both = (act: (fd: number, isTrusted: boolean) => number | string): void => {
    const [a, b] = [act(files.trusted, true), act(files.tested, false)];
    if (a !== b) fail(`${a} on the trusted file, ${b} on the tested one`);
  };
  const size = (): number => ok(s.lseek(files.trusted, 0, SEEK_END));
  const bytes = (length: number): Buffer => {
    const data = Buffer.alloc(length);
    const first = 1 + random.below(255);
    for (let i = 0; i < length; i += 1) data[i] = (first + i * 7 + (i >> 8)) & 0xff;
    return data;
  };
  const compare = (offset: number, length: number): void => {
    const [a, b] = [Buffer.alloc(length), Buffer.alloc(length)];
    const read = [ok(s.pread(files.trusted, a, length, offset)), ok(s.pread(files.tested, b, length, offset))];
    if (read[0] !== read[1]) fail(`${read[0]} bytes in the trusted file at ${offset}, ${read[1]} in the tested one`);
    if (!a.equals(b)) fail(`other bytes at ${offset + a.findIndex((byte, i) => byte !== b[i])}`);
  };
  const mapped = (offset: number, length: number, use: (fd: number, address: number) => void): void => {
    const start = Math.floor(offset / pageBytes) * pageBytes;
    for (const fd of [files.trusted, files.tested]) {
      const address = ok(s.mmap(0, offset + length - start, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start));
      use(fd, address + offset - start);
      if (random.below(4) === 0) ok(s.msync(address, offset + length - start, MS_SYNC));
      ok(s.munmap(address, offset + length - start));
    }
  };
  const checkHoles = (): void => {
    for (let at = 0, end = size(); at < end;) {
      const hole = ok(s.lseek(files.tested, at, SEEK_HOLE));
      if (hole >= end) return;
      const data = s.lseek(files.tested, hole, SEEK_DATA);
      const until = data === 'ENXIO' ? end : ok(data);
      const content = Buffer.alloc(until - hole);
      ok(s.pread(files.trusted, content, content.length, hole));
      if (content.some((byte) => byte !== 0)) fail(`the hole from ${hole} to ${until} is none`);
      at = until;
    }
  };
  const range = (limit: number): [offset: number, length: number] => {
    const offset = random.below(limit);
    return [offset, 1 + random.below(Math.min(lengthMax, limit - offset))];
  };
  type Act = (offset: number, length: number) => void;
  const acts: Record<string, Act> = {
    read: compare,
    write: (offset, length) => {
      const data = bytes(length);
      both((fd) => s.pwrite(fd, data, length, offset));
    },
    truncate: (offset) => both((fd) => s.ftruncate(fd, offset)),
    punch: (offset, length) => both((fd) => s.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length)),
    reserve: (offset, length) => both((fd) => s.fallocate(fd, 0, offset, length)),
    zero: (offset, length) => {
      const zeros = Buffer.alloc(length);
      const written = ok(s.pwrite(files.trusted, zeros, length, offset));
      if (written !== length) fail('tmpfs is full');
      ok(s.fallocate(files.tested, ZERO_RANGE, offset, length));
    },
    'direct write': (offset, length) => {
      const data = bytes(length);
      const direct = ok(s.open(tested, O_RDWR | O_DIRECT));
      both((fd, isTrusted) => s.pwrite(isTrusted ? fd : direct, data, length, offset));
      ok(s.close(direct));
    },
    'truncating open': () => {
      if (random.below(5) > 0) return;
      close();
      files = open(O_TRUNC);
    },
    sync: () => both((fd) => s.fdatasync(fd)),
    holes: checkHoles,
    append: (_, length) => {
      if (size() + length > sizeMax) return;
      const data = bytes(length);
      close();
      files = open(O_APPEND);
      both((fd) => s.write(fd, data, length));
      close();
      files = open(0);
    },
  };
  const inside: Record<string, Act> = {
    'mapped read': (offset, length) => {
      const seen: Buffer[] = [];
      mapped(offset, length, (_, address) => seen.push(s.copyFrom(address, length)));
      if (seen[0]?.equals(seen[1] as Buffer) !== true) fail('other bytes in memory');
    },
    'mapped write': (offset, length) => {
      const data = bytes(length);
      mapped(offset, length, (_, address) => s.copyTo(address, data));
    },
    copy: (offset, length) => {
      const to = random.below(sizeMax - length);
      if (to < offset + length && offset < to + length) return;
      both((fd) => s.copy_file_range(fd, [offset], fd, [to], length, 0));
    },
  };
  const names = [...Object.keys(acts), 'write', 'write', 'read', 'read', ...Object.keys(inside), ...Object.keys(inside)];
  try {
    while (history.length < operations) {
      const name = random.pick(names);
      const limit = name in inside ? size() : sizeMax;
      if (limit === 0) continue;
      const [offset, length] = range(limit);
      history.push(`${name} ${offset} ${length}`);
      (acts[name] ?? inside[name])?.(offset, length);
      if (history.length % 100 === 0) compare(0, sizeMax);
    }
    compare(0, sizeMax);
  } finally {
    close();
  }
}
