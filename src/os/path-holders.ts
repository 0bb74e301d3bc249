/**
 * Who keeps a mount busy. Only links and texts of /proc and /sys are read, which say a path without going there: what is mounted
 * may not answer. Other users' processes are seen only by root.
 */
import { readFile, readdir, readlink } from 'node:fs/promises';
import { readMountTable } from './mount-table.js';

export interface PathHolder {
  /** Undefined for what is no process: a loop device, or a mount inside of the mount. */
  readonly pid: number | undefined;
  readonly command: string;
  /** How it is held and which path, as `cwd /mnt/x`. */
  readonly what: string;
}

const processLinks = ['cwd', 'root', 'exe'] as const;
const mapsFieldsBeforePath = 5;
const holdersMax = 1000;

/** `path` is a mount point, absolute and without links in it. */
export async function pathHolders(path: string): Promise<PathHolder[]> {
  const isInside = (other: string): boolean => other === path || other.startsWith(`${path}/`);
  const holders: PathHolder[] = [];
  for (const name of await entries('/proc')) {
    if (holders.length >= holdersMax) break;
    if (!/^\d+$/.test(name)) continue;
    const uses = await usesOfProcess(`/proc/${name}`, isInside);
    if (uses.length === 0) continue;
    const command = (await text(`/proc/${name}/comm`)).trim();
    for (const what of uses) holders.push({ pid: Number(name), command, what });
  }
  return [...holders, ...(await loopDevices(isInside)), ...mountsInside(path)];
}

async function usesOfProcess(directory: string, isInside: (path: string) => boolean): Promise<string[]> {
  const uses = new Map<string, string>();
  const add = (kind: string, path: string): void => {
    if (isInside(path) && !uses.has(path)) uses.set(path, `${kind} ${path}`);
  };
  for (const link of processLinks) add(link, await target(`${directory}/${link}`));
  for (const fd of await entries(`${directory}/fd`)) add('file', await target(`${directory}/fd/${fd}`));
  for (const line of (await text(`${directory}/maps`)).split('\n')) {
    const mapped = line.split(/ +/).slice(mapsFieldsBeforePath).join(' ');
    if (mapped !== '') add('map', mapped);
  }
  return [...uses.values()];
}

async function loopDevices(isInside: (path: string) => boolean): Promise<PathHolder[]> {
  const holders: PathHolder[] = [];
  for (const name of await entries('/sys/block')) {
    if (!name.startsWith('loop')) continue;
    const path = (await text(`/sys/block/${name}/loop/backing_file`)).trimEnd();
    if (isInside(path)) holders.push({ pid: undefined, command: `/dev/${name}`, what: `loop ${path}` });
  }
  return holders;
}

function mountsInside(path: string): PathHolder[] {
  return readMountTable()
    .filter(({ mountPoint }) => mountPoint.startsWith(`${path}/`))
    .map(({ mountPoint, type }) => ({ pid: undefined, command: type, what: `mount ${mountPoint}` }));
}

/** Processes end while they are looked at, and those of others are not shown: what cannot be read is empty. */
function target(link: string): Promise<string> {
  return readlink(link).catch(() => '');
}

function text(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}

function entries(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
