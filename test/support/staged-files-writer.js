/** Writes files of all kinds into a staging directory until that fails, and tells of each that is safe. With `rename` only renames. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const [first = '', second = '', third = ''] = process.argv.slice(2);

/** @param {string} path @param {string} content */
async function tell(path, content) {
  await new Promise((resolve) => process.send?.({ path, content }, resolve));
}

async function write() {
  const imageBytes = 5 << 20;
  const device = statSync(first).dev;
  for (let n = Number(second); ; n++) {
    // Below a mount that is gone, or for nobody, it would fill the disk.
    if (!process.connected || statSync(first).dev !== device) return;
    const name = ['x.pxar/file', 'x.pxar/deep/file', 'disk', 'blob'][n % 4] + String(n) + (n % 4 === 2 ? '.img' : '');
    if (n % 4 === 1) mkdirSync(join(first, 'x.pxar/deep'), { recursive: true });
    // Several images at a time would be a lot to compare.
    if (n % 4 === 2 && n % 40 !== 2) continue;
    const content = `${n} `.repeat(n % 4 === 2 ? imageBytes / String(`${n} `).length : 1 + (n % 7) * 3000);
    const path = n % 8 < 4 ? name : `${name}.renamed`;
    const target = n % 4 === 2 ? name : path;
    const fd = openSync(join(first, name), 'w');
    writeSync(fd, content);
    if (n % 3 === 0) {
      fsyncSync(fd);
      writeSync(fd, 'not synced');
    }
    closeSync(fd);
    if (target !== name) renameSync(join(first, name), join(first, target));
    await tell(target, content);
  }
}

try {
  if (first === 'rename') renameSync(second, third);
  else await write();
} catch {
  // The daemon is gone.
}
if (process.connected) process.disconnect();
