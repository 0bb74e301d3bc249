#!/usr/bin/env node
/** Assembles the WebAssembly text files of src/ into dist/, beside the modules that load them. */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import wabt from 'wabt';

const root = resolve(import.meta.dirname, '..');
const assembler = await wabt();

for (const name of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('.wat')) continue;
  const module = assembler.parseWat(name, readFileSync(join(root, 'src', name), 'utf8'), { threads: true });
  const target = join(root, 'dist', name.replace(/\.wat$/, '.wasm'));
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, module.toBinary({}).buffer);
  module.destroy();
}
