/** What was measured, beside the limit it is held to. */
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import Table from 'cli-table3';

/**
 * @typedef {object} Figure
 * @property {string} section
 * @property {string} name
 * @property {number} value
 * @property {string} unit
 * @property {string} [limitName]
 * @property {number} [limit] in the same unit
 * @property {{ readonly most?: number, readonly least?: number }} [target] of value / limit, or of the value where there is no limit
 */

/** @param {Figure} figure */
export function ratioOf({ value, limit }) {
  return limit === undefined ? value : value / limit;
}

/** @param {Figure} figure @returns {boolean | undefined} */
export function isMet(figure) {
  const { target } = figure;
  if (target === undefined) return undefined;
  const ratio = ratioOf(figure);
  return (target.most === undefined || ratio <= target.most) && (target.least === undefined || ratio >= target.least);
}

/** @param {readonly Figure[]} figures */
export function tableOf(figures) {
  const table = new Table({ head: ['section', 'what', 'measured', 'limit', 'ratio', 'target', 'met'], style: { head: [], border: [] } });
  for (const figure of figures) {
    const { section, name, value, unit, limitName, limit, target } = figure;
    const bound = target === undefined ? '' : target.most !== undefined ? `<= ${target.most}` : `>= ${target.least}`;
    const met = isMet(figure);
    table.push([
      section,
      name,
      `${rounded(value)} ${unit}`,
      limit === undefined ? '' : `${limitName} ${rounded(limit)} ${unit}`,
      limit === undefined ? '' : ratioOf(figure).toFixed(2),
      limit === undefined && bound !== '' ? `${bound} ${unit}` : bound,
      met === undefined ? '' : met ? 'yes' : 'NO',
    ]);
  }
  return table.toString();
}

export function machineLine() {
  return `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Linux, Node ${process.versions.node}`;
}

/** @param {string} path @param {readonly Figure[]} figures */
export function writeJson(path, figures) {
  const rows = figures.map((figure) => ({ ...figure, ratio: ratioOf(figure), met: isMet(figure) }));
  writeFileSync(path, `${JSON.stringify({ machine: machineLine(), figures: rows }, undefined, 2)}\n`);
}

/** @param {number} value */
function rounded(value) {
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : value.toFixed(3);
}
