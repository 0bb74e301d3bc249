/** The scripts in the shells that they are for. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { eventually, pbsfs, program, runProgram } from '../support/command.js';
import { storePath } from '../support/fixtures.js';
import { hasProgram } from '../support/mounted-everything.js';
import { scratchDirectory } from '../support/scratch.js';

const sample = storePath('sample');
const directory = scratchDirectory();
writeFileSync(join(directory, 'pbsfs'), `#!/bin/sh\nexec ${process.execPath} ${program} "$@"\n`);
chmodSync(join(directory, 'pbsfs'), 0o755);
const env = { PATH: `${directory}:${process.env.PATH ?? ''}` };

const times = ['2021-05-24T16:09:24Z/', '2021-05-24T16:16:06Z/', '2021-05-24T16:18:06Z/', '2021-05-24T16:23:02Z/'];

/** What follows `pbsfs `, and the whole words that it may become. */
const cases: [line: string, candidates: string[]][] = [
  ['m', ['mount']],
  ['', ['mount', 'umount', 'status', 'snapshots', 'ls', 'cat', 'stat', 'init', 'backup', 'restore', 'tar', 'stage', 'commit', 'forget', 'prune', 'gc', 'notes', 'protect', 'chown', 'namespace', 'upload-log', 'login', 'logout', 'serve', 'user', 'key', 'completion', '--help', '--version']],
  [`ls ${sample} v`, ['vm/']],
  [`ls ${sample} vm/120/`, [...times.map((time) => `vm/120/${time}`), 'vm/120/latest/']],
  [`ls ${sample} vm/120/2021-05-24T16:1`, [`vm/120/${times[1]}`, `vm/120/${times[2]}`]],
  [`cat ${sample} ct/113/latest/root.pxar/etc/fs`, ['ct/113/latest/root.pxar/etc/fstab']],
  [`cat ${sample} vm/120/2021-05-24T16:09/qemu`, ['vm/120/2021-05-24T16:09/qemu-server.conf']],
  [`ls --ns prod ${sample} v`, ['vm/']],
  [`restore --store ${sample} v`, ['vm/']],
  [`backup --store ${sample} --mode m`, ['metadata']],
  [`ls ${sample} --ns p`, ['prod', 'prod/eu']],
  ['ls --rec', ['--recursive']],
  ['mount --driver ', ['kernel', 'fuse-native']],
  ['mount --driver=f', ['--driver=fuse-native']],
  ['completion ', ['bash', 'zsh']],
  [`ls ${sample} nothing/here/`, []],
  ['nothing ', []],
];

describe('candidates', () => {
  test.each(cases)('pbsfs %s', async (line, candidates) => {
    const words = line.split(' ');
    expect((await pbsfs(['completion', '--candidates', '--', ...words])).stdout.split('\n').filter((word) => word !== '')).toEqual(candidates);
  });

  test('what the shell knows better', async () => {
    expect((await pbsfs(['completion', '--candidates', '--', 'mount', ''])).stdout).toBe(':directories\n');
    expect((await pbsfs(['completion', '--candidates', '--', 'mount', '--keyfile', ''])).stdout).toBe(':files\n');
  });
});

describe('bash', () => {
  test.each(cases)('pbsfs %s', async (line, candidates) => {
    const script = `
      source <(pbsfs completion bash)
      compopt() { :; }
      COMP_LINE=$1 COMP_POINT=\${#1}
      _pbsfs
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = await runProgram('bash', ['-c', script, 'bash', `pbsfs ${line}`], { env });
    expect(stderr).toBe('');
    // readline puts candidates behind the last colon or equals sign of what is typed.
    const current = line.split(' ').at(-1) ?? '';
    const typed = current.slice(0, Math.max(current.lastIndexOf(':'), current.lastIndexOf('=')) + 1);
    expect(stdout.split('\n').filter((word) => word !== '').map((word) => typed + word)).toEqual(candidates);
  });

  test('at a real prompt', async () => {
    const shell = spawn('script', ['-qc', 'bash --norc -i', '/dev/null'], { env: { ...process.env, ...env, TERM: 'dumb' } });
    let text = '';
    shell.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const answer = async (typed: string, pattern: RegExp): Promise<void> => {
      shell.stdin.write(typed);
      await eventually(() => pattern.test(text), `${String(pattern)} in ${text}`, 30_000);
    };
    await answer('source <(pbsfs completion bash); echo re""ady\n', /ready/);
    await answer(`pbsfs ls ${sample} vm/120/2021-05-24T16:23\t`, /T16:23:02Z\//);
    await answer('\n', /qemu-server\.conf/);
    shell.stdin.end('exit\n');
    await once(shell, 'close');
  });
});

describe.skipIf(!hasProgram('zsh'))('zsh', () => {
  test.each(cases)('pbsfs %s', async (line, candidates) => {
    const script = `
      compdef() { :; }
      compadd() { while [[ $1 != -a ]]; do shift; done; print -rl -- "\${(@P)2}"; }
      _files() { :; }
      source <(pbsfs completion zsh)
      words=(pbsfs "\${(@s: :)1}"); CURRENT=$#words
      _pbsfs`;
    const { stdout, stderr } = await runProgram('zsh', ['-f', '-c', script, 'zsh', line], { env });
    expect(stderr).toBe('');
    expect(stdout.split('\n').filter((word) => word !== '').sort()).toEqual([...candidates].sort());
  });
});
