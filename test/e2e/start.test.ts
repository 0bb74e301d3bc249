/** `npm start` without npm: what somebody sees first. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runProgram, start } from '../support/command.js';
import { storePath } from '../support/fixtures.js';
import { canMount } from '../support/mounted-everything.js';
import { mountPlace } from '../support/mounted-store.js';

const script = fileURLToPath(new URL('../../scripts/start.js', import.meta.url));

describe.skipIf(!canMount)('npm start', () => {
  test('mounts the sample, shows it, and leaves nothing behind', async () => {
    const running = start(process.execPath, [script]);
    await running.wrote(/Ctrl-C unmounts\./);
    const [, directory = ''] = /^(\S+)\/store is mounted on /m.exec(running.text()) ?? [];
    expect(readdirSync(join(directory, 'mnt'))).toContain('vm');
    expect(running.text()).toMatch(/\n {2}ct\/\n {4}113\/\n/);
    const [, command = ''] = /\n {2}(cat \S+)\n/.exec(running.text()) ?? [];
    expect((await runProgram('sh', ['-c', command])).stdout).toMatch(/^root:/);
    running.child.kill('SIGINT');
    expect(await running.exited).toBe(0);
    expect(existsSync(directory)).toBe(false);
  });

  test('mounts what is given', async () => {
    const { mountPoint } = mountPlace();
    const running = start(process.execPath, [script, storePath('vault'), mountPoint]);
    await running.wrote(/Ctrl-C unmounts\./);
    expect(readdirSync(mountPoint)).toEqual(['host', 'vm']);
    running.child.kill('SIGTERM');
    expect(await running.exited).toBe(0);
  });

  test('where mounting is not possible it says why and shows the tree', async () => {
    const { directory } = mountPlace();
    const dev = join(directory, 'dev');
    mkdirSync(dev);
    const devices = `mount -t tmpfs none ${dev} && mknod ${dev}/null c 1 3 && mount --bind ${dev} /dev`;
    const { status, stdout } = await runProgram('unshare', ['-m', 'sh', '-c', `${devices} && exec ${process.execPath} ${script}`]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Mounting is not possible here: .*\/dev\/fuse/);
    expect(stdout).toMatch(/\n {2}ct\/\n {4}113\/\n/);
  });
});
