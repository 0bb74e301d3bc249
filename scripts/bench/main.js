#!/usr/bin/env node
/** `npm run bench -- [SECTION...] [--size MIB] [--runs N] [--json FILE]`: measures, and prints each figure beside the limit of the same run. */
import { parseArgs } from 'node:util';
import { machineLine, tableOf, writeJson } from './figures.js';
import { find, large, small } from './sections/archive.js';
import { cached, image, random } from './sections/image.js';
import { others } from './sections/others.js';
import { remote } from './sections/remote.js';
import { scale } from './sections/scale.js';
import { staging } from './sections/staging.js';
import { startup } from './sections/startup.js';
import { write } from './sections/write.js';
import { zstd } from './sections/zstd.js';

/**
 * @typedef {object} Settings
 * @property {number} imageBytes of images and of archives of large files
 * @property {number} runs
 */

/** @type {Record<string, (settings: Settings) => Promise<import('./figures.js').Figure[]>>} */
const sections = { image, random, cached, large, find, small, others, startup, scale, zstd, write, staging, remote };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { size: { type: 'string', default: '2048' }, runs: { type: 'string', default: '5' }, json: { type: 'string' }, help: { type: 'boolean' } },
});
const settings = { imageBytes: Number(values.size) * 1024 * 1024, runs: Number(values.runs) };
// What is to be removed at the end is removed on 'exit'.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

const unknown = positionals.filter((name) => !(name in sections));

if (values.help === true || unknown.length > 0 || !(settings.imageBytes > 0) || !(settings.runs > 0)) {
  console.error(`usage: npm run bench -- [SECTION...] [--size MIB] [--runs N] [--json FILE]\nsections: ${Object.keys(sections).join(' ')}`);
  process.exitCode = 2;
} else {
  const figures = [];
  for (const [name, measure] of Object.entries(sections)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    console.error(`${name} ...`);
    figures.push(...(await measure(settings)));
    if (values.json !== undefined) writeJson(values.json, figures);
  }
  console.log(machineLine());
  console.log(tableOf(figures));
}
