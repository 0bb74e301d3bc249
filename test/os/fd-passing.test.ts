import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, fstatSync, readFileSync, readSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { receiveDescriptor, socketPair } from '../../src/os/fd-passing.js';
import { loadKoffi } from '../../src/os/ffi.js';

const hasKoffi = loadKoffi() !== undefined;
if (!hasKoffi) console.warn('koffi is not installed: tests of passing descriptors are skipped');

/** Sends its standard input through descriptor 3, as fusermount3 does with the device. */
const sender = `
  my $syscall = $ARGV[0] + 0;
  my $data = "x";
  my $iov = pack("PQ", $data, 1);
  my $control = pack("QllL x4", 20, 1, 1, 0);
  my $message = pack("QL x4 P QP Q L x4", 0, 0, $iov, 1, $control, 24, 0);
  syscall($syscall, 3, $message, 0) == 1 or die $!;`;
const sendmsg = ({ x64: 46, arm64: 211 } as Partial<Record<string, number>>)[process.arch];

test.runIf(hasKoffi && sendmsg !== undefined)('a descriptor comes through, closed on exec', () => {
  const [ours, theirs] = socketPair() ?? expect.unreachable();
  const file = fileURLToPath(import.meta.url);
  const script = `exec perl -e '${sender}' ${sendmsg} < "${file}"`;
  const sent = spawnSync('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe', theirs] });
  expect(sent.stderr.toString()).toBe('');
  const fd = receiveDescriptor(ours);
  expect(fstatSync(fd).ino).toBe(statSync(file).ino);
  const start = Buffer.alloc(6);
  readSync(fd, start, 0, 6, 0);
  expect(start.toString()).toBe('import');
  for (const descriptor of [fd, ours, theirs]) {
    expect(
      parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1] ?? '', 8) & 0o2000000,
    ).not.toBe(0);
    closeSync(descriptor);
  }
});

test.runIf(hasKoffi)('nothing, an end, and a byte without a descriptor', () => {
  const [ours, theirs] = socketPair() ?? expect.unreachable();
  expect(() => receiveDescriptor(ours)).toThrow(expect.objectContaining({ code: 'MOUNT_FAILED' }) as Error);
  execFileSync('/bin/sh', ['-c', 'printf x >&3'], { stdio: ['ignore', 'ignore', 'inherit', theirs] });
  expect(() => receiveDescriptor(ours)).toThrow(/no descriptor/);
  closeSync(theirs);
  expect(() => receiveDescriptor(ours)).toThrow(/no descriptor/);
  closeSync(ours);
});
