/** Numbers and tables for people. */

export { sizeText } from '../format/size-text.js';

/** `3d 04:05:06`. */
export function durationText(seconds: number): string {
  const parts = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  const [hours = 0, ...rest] = parts;
  const days = Math.floor(hours / 24);
  const clock = [hours % 24, ...rest].map((part) => String(part).padStart(2, '0')).join(':');
  return days === 0 ? clock : `${days}d ${clock}`;
}

/** Columns as wide as their widest cell, without lines; control characters are taken out. */
export async function tableText(head: readonly string[], rows: readonly (readonly string[])[]): Promise<string> {
  const { default: Table } = await import('cli-table3');
  const chars = Object.fromEntries(
    ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right', 'left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'].map((name) => [name, '']),
  );
  const style = { head: [], border: [], 'padding-left': 0, 'padding-right': 0 };
  const table = new Table({ head: [...head], chars: { ...chars, middle: '  ' }, style });
  table.push(...rows.map((row) => row.map((cell) => cell.replace(/[\p{Cc}\p{Cf}]/gu, '?'))));
  return `${table.toString().replace(/ +$/gm, '')}\n`;
}
