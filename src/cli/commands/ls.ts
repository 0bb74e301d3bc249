/** `pbsfs ls`: directories of the tree, straight from the store. */
import { messageOf } from '../../errors.js';
import { S_IFDIR, S_IFLNK, S_IFMT, type DirectoryEntry, type Entry, type Ino } from '../../vfs/file-system.js';
import { printableName } from '../../vfs/name.js';
import { command, jsonOption } from '../command.js';
import { isDevice, jsonAttributes, jsonName, modeText, timeText } from '../entry-facts.js';
import { locate, withSource, type Located, type OpenSource } from '../open-source.js';
import { LineWriter } from '../output.js';
import { sourceOptions, sourcePositional } from '../source-options.js';
import { ReportedError } from '../report.js';

const entriesAtOnce = 1000;

interface ListOptions {
  readonly long: boolean;
  readonly all: boolean;
  readonly recursive: boolean;
  readonly zero: boolean;
  readonly json: boolean;
}

interface Line {
  readonly name: Buffer;
  readonly path: Buffer;
  /** Absent where only names are asked for, or where it could not be read. */
  readonly entry?: Entry | undefined;
  readonly target?: Buffer | undefined;
}

export const lsCommand = command({
  name: 'ls',
  summary: 'List a directory of a backup',
  positionals: [sourcePositional, { name: 'PATH', completion: 'path', describe: 'type/id/time/... (default: the root)', optional: true }],
  options: {
    long: { type: 'boolean', short: 'l', describe: 'modes, owners, sizes, times, link targets' },
    all: { type: 'boolean', short: 'a', describe: 'names that begin with a dot, too' },
    recursive: { type: 'boolean', short: 'R', describe: 'directories below, too' },
    zero: { type: 'boolean', describe: 'end names with NUL instead of a line feed' },
    json: { ...jsonOption, describe: 'print a JSON object a line for each entry' },
    ...sourceOptions,
  },
  examples: [
    ['pbsfs ls /srv/store vm/120', 'snapshots of a virtual machine'],
    ['pbsfs ls -l /srv/store ct/113/latest/root.pxar/etc', 'a directory of a container'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'outputClosed'],
  run: (values, [source = ''], [, path = Buffer.alloc(0)]) => {
    const { long = false, all = false, recursive = false, zero = false, json = false } = values;
    return withSource(source, values, async (opened) => {
      const listing = new Listing(opened, { long, all, recursive, zero, json });
      await listing.print(await locate(opened, path, { followLast: true }));
    });
  },
});

class Listing {
  readonly #opened: OpenSource;
  readonly #options: ListOptions;
  readonly #out = new LineWriter();
  readonly #escapes = process.stdout.isTTY;
  #failed = false;

  constructor(opened: OpenSource, options: ListOptions) {
    this.#opened = opened;
    this.#options = options;
  }

  async print(located: Located): Promise<void> {
    if (isOfType(located.entry.attributes.mode, S_IFDIR)) {
      await this.#printTree(located);
    } else {
      const name = located.path.subarray(located.path.lastIndexOf(0x2f) + 1);
      await this.#printLines([await this.#lineOf(located.entry.attributes.ino, { name, path: located.path, entry: located.entry })]);
    }
    await this.#out.flush();
    if (this.#failed) throw new ReportedError('failed');
  }

  /** Directories wait in a list, the next one last: their depth is whatever the archive says. */
  async #printTree(start: Located): Promise<void> {
    const waiting = [{ path: start.path, ino: start.entry.attributes.ino }];
    const { recursive, json, zero } = this.#options;
    for (let next = waiting.pop(), isFirst = true; next !== undefined; next = waiting.pop(), isFirst = false) {
      const { path, ino } = next;
      if (recursive && !json && !zero) await this.#out.write(`${isFirst ? '' : '\n'}${this.#shown(path.length === 0 ? Buffer.from('.') : path).toString('latin1')}:\n`);
      try {
        const below = await this.#printDirectory(path, ino);
        if (recursive) waiting.push(...below.reverse());
      } catch (error) {
        if (isFirst) throw error;
        this.#fail(path, error);
      }
    }
  }

  /** Prints one directory and returns the directories in it. */
  async #printDirectory(path: Buffer, ino: Ino): Promise<{ path: Buffer; ino: Ino }[]> {
    const { long, all, recursive, json, zero } = this.#options;
    const directory = await this.#opened.tree.openDirectory(ino);
    const below: { path: Buffer; ino: Ino }[] = [];
    const lines: Line[] = [];
    try {
      for (let index = 0; ; ) {
        const entries = await directory.read(index, entriesAtOnce);
        if (entries.length === 0) break;
        index += entries.length;
        for (const { name, ino: child, type, entry } of entries.filter((each) => all || each.name[0] !== 0x2e)) {
          const childPath = path.length === 0 ? name : Buffer.concat([path, Buffer.from('/'), name]);
          lines.push(long || json ? await this.#detailedLine(ino, { name, ino: child, type, ...(entry && { entry }) }, childPath) : { name, path: childPath });
          if (recursive && type === S_IFDIR) below.push({ path: childPath, ino: child });
        }
        // Columns are as wide as the widest of the directory; without columns nothing needs to wait.
        if (!long || json || zero) await this.#printLines(lines.splice(0));
      }
    } finally {
      directory.close();
    }
    await this.#printLines(lines);
    return below;
  }

  async #detailedLine(parent: Ino, found: DirectoryEntry, path: Buffer): Promise<Line> {
    try {
      const entry = found.entry ?? (await this.#opened.tree.lookup(parent, found.name));
      return await this.#lineOf(found.ino, { name: found.name, path, entry });
    } catch (error) {
      this.#fail(path, error);
      return { name: found.name, path };
    }
  }

  async #lineOf(ino: Ino, line: Line): Promise<Line> {
    const isLink = line.entry !== undefined && isOfType(line.entry.attributes.mode, S_IFLNK);
    return isLink ? { ...line, target: await this.#opened.tree.readlink(ino) } : line;
  }

  async #printLines(lines: readonly Line[]): Promise<void> {
    const { long, json, zero } = this.#options;
    if (json) {
      for (const line of lines) await this.#out.json(jsonLine(line));
      return;
    }
    const end = Buffer.from(zero ? '\0' : '\n');
    const columns = long ? alignedColumns(lines) : [];
    for (const [at, { name, target }] of lines.entries()) {
      const arrow = long && target !== undefined ? [Buffer.from(' -> '), this.#shown(target)] : [];
      await this.#out.write(Buffer.concat([Buffer.from(columns[at] ?? ''), this.#shown(name), ...arrow, end]));
    }
  }

  /** Bytes as they are for programs, escaped where a terminal could take them for commands. */
  #shown(name: Buffer): Buffer {
    return this.#escapes && !this.#options.zero ? Buffer.from(printableName(name)) : name;
  }

  #fail(path: Buffer, error: unknown): void {
    this.#failed = true;
    process.stderr.write(`pbsfs: ${printableName(path)}: ${messageOf(error)}\n`);
  }
}

function jsonLine({ name, path, entry, target }: Line): object {
  return {
    ...jsonName('path', path),
    ...jsonName('name', name),
    ...(entry && jsonAttributes(entry.attributes)),
    ...(target && jsonName('target', target)),
  };
}

/** All that stands before the names. */
function alignedColumns(lines: readonly Line[]): string[] {
  const rows = lines.map(({ entry }) => {
    if (entry === undefined) return ['??????????', '?', '?', '?', '?', '?'];
    const { mode, nlink, uid, gid, size, rdevMajor, rdevMinor, mtime } = entry.attributes;
    const extent = isDevice(mode) ? `${rdevMajor},${rdevMinor}` : String(size);
    return [modeText(mode), String(nlink), String(uid), String(gid), extent, timeText({ sec: mtime.sec, nsec: 0 })];
  });
  const widths = rows.reduce<number[]>((widest, row) => row.map((cell, at) => Math.max(cell.length, widest[at] ?? 0)), []);
  return rows.map((row) => `${row.map((cell, at) => cell.padStart(widths[at] ?? 0)).join(' ')} `);
}

function isOfType(mode: number, type: number): boolean {
  return (mode & S_IFMT) === type;
}
