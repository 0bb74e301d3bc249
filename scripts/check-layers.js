#!/usr/bin/env node
/** Fails when a room of src/ imports from a room above it (docs/design.md, section 3), or native code is loaded outside os/. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const floors = ['format', 'crypto', 'os', 'vfs', 'fuse', 'codec', 'store', 'archive', 'backup', 'restore', 'tree', 'maintenance', 'mount', 'server', 'cli'];
const native = new Set(['koffi', 'fuse-native']);
const src = resolve(import.meta.dirname, '../src');
const importPattern = /(?:from|import)\s*\(?\s*'([^']+)'/g;
/** Pairs that may not meet although their floors would allow it. */
const strangers = [['fuse', 'format'], ['fuse', 'crypto'], ['codec', 'fuse'], ['store', 'fuse'], ['archive', 'fuse'], ['tree', 'fuse']];

/** @param {string} path */
function roomOf(path) {
  const [room = '', ...rest] = relative(src, path).split('/');
  return rest.length > 0 ? room : '';
}

const faults = [];
for (const name of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('.ts')) continue;
  const file = join(src, name);
  const room = roomOf(file);
  if (room !== '' && !floors.includes(room)) faults.push(`${name}: src/${room} is no room of the plan`);
  for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(importPattern)) {
    if (native.has(target) && room !== 'os' && name !== 'fuse/native-driver.ts') faults.push(`${name}: ${target} may only be loaded in src/os`);
    if (!target.startsWith('.')) continue;
    const other = roomOf(resolve(dirname(file), target));
    if (other === '' || other === room || name === 'index.ts') continue;
    if (floors.indexOf(other) > floors.indexOf(room)) faults.push(`${name}: ${room} may not know ${other}`);
    if (strangers.some(([a, b]) => a === room && b === other)) faults.push(`${name}: ${room} knows nothing of ${other}`);
  }
}
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? 'layers: in order' : `layers: ${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
