import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { pathHolders } from '../../src/os/path-holders.js';

const children: ChildProcess[] = [];
const directory = realpathSync(mkdtempSync(join(tmpdir(), 'pbsfs-holders-')));

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  rmSync(directory, { recursive: true, force: true });
});

/** A shell that says when it has begun. */
async function shell(script: string, cwd: string): Promise<number> {
  const child = spawn('/bin/sh', ['-c', `${script}; echo ready; read -r line`], { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout, 'data');
  return child.pid ?? expect.unreachable();
}

test('open files, directories and programs, and nothing beside', async () => {
  mkdirSync(join(directory, 'inside'), { recursive: true });
  writeFileSync(join(directory, 'inside', 'a file'), 'x');
  mkdirSync(`${directory}-beside`);
  copyFileSync('/bin/sleep', join(directory, 'sleep'));
  const file = await shell(`exec 3< "${directory}/inside/a file"`, '/');
  const cwd = await shell(':', join(directory, 'inside'));
  await shell(':', `${directory}-beside`);
  const program = spawn(join(directory, 'sleep'), ['60'], { cwd: '/', stdio: 'ignore' });
  children.push(program);
  await once(program, 'spawn');
  rmSync(`${directory}-beside`, { recursive: true });
  const found = await pathHolders(directory);
  expect(found).toHaveLength(3);
  expect(found).toContainEqual({ pid: file, command: 'sh', what: `file ${directory}/inside/a file` });
  expect(found).toContainEqual({ pid: cwd, command: 'sh', what: `cwd ${directory}/inside` });
  expect(found).toContainEqual({ pid: program.pid, command: 'sleep', what: `exe ${directory}/sleep` });
});

test('nobody', async () => {
  expect(await pathHolders(join(directory, 'nothing'))).toEqual([]);
});

test('mounts inside', async () => {
  expect(await pathHolders('/dev')).toContainEqual({ pid: undefined, command: 'devpts', what: 'mount /dev/pts' });
});
