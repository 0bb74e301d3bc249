/** `pbsfs status`: what is mounted, and how the daemons are; or how full a datastore is. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { MountError, codeOf, messageOf } from '../../errors.js';
import { isRepositoryText } from '../../format/repository.js';
import { listMounts, readStatus, type DatastoreMount } from '../../mount/mounts.js';
import { command, jsonOption } from '../command.js';
import { LineWriter } from '../output.js';
import { serverOptions } from '../source-options.js';
import type { ServerWords } from '../store-status.js';
import { durationText, sizeText, tableText } from '../text.js';

/** The part of `.pbsfs/status.json` that people are shown. */
const statusSchema = z.object({
  uptimeSeconds: z.number(),
  memory: z.number(),
  damagedChunks: z.number(),
  openArchives: z.number(),
  salvage: z.boolean(),
  keys: z.array(z.string()),
  cache: z.object({
    bytesMax: z.number(),
    bytesUsed: z.number(),
    hitRate: z.number().nullable(),
    bytesDecoded: z.number(),
    queued: z.number(),
    inWork: z.number(),
    diskCache: z.object({ directory: z.string(), bytesMax: z.number(), bytesUsed: z.number(), hits: z.number(), misses: z.number(), keeping: z.boolean() }).optional(),
  }),
  driver: z.object({ name: z.string(), pid: z.number() }),
  connection: z.object({ connected: z.boolean(), since: z.string(), lastError: z.string().nullish() }).optional(),
});
type Status = z.infer<typeof statusSchema>;

export const statusCommand = command({
  name: 'status',
  summary: 'Show what is mounted, how one mount is doing, or how full a datastore is',
  positionals: [{ name: 'MOUNTPOINT|SOURCE', describe: 'one mount, or a datastore (directory or repository), with numbers', optional: true, completion: 'mount', isLocation: true }],
  options: { ...serverOptions, json: { ...jsonOption, describe: 'print a JSON object a line for each mount' } },
  examples: [
    ['pbsfs status', 'all mounts'],
    ['pbsfs status /mnt/pbs', 'cache, memory and damage of one'],
    ['pbsfs status /srv/store', 'how full a datastore is, and its last garbage collection'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'mountFailed', 'unreachable'],
  run: async ({ json = false, ...words }, [place]) => {
    if (place === undefined) return await printAll(json);
    const mount = listMounts().findLast((each) => each.mountPoint === resolve(place));
    if (mount !== undefined) return await printOne(mount, json);
    await printStore(place, words, json);
  },
});

async function printAll(json: boolean): Promise<void> {
  const out = new LineWriter();
  const mounts = await Promise.all(
    listMounts().map(async (mount) => {
      const status = await readStatus(mount.mountPoint).catch((error: unknown) => new Error(messageOf(error)));
      return { mount, status };
    }),
  );
  if (json) {
    for (const { mount, status } of mounts) await out.json({ ...mount, ...(status instanceof Error ? { error: status.message } : { status }) });
  } else {
    const rows = mounts.map(({ mount, status }) => [mount.mountPoint, mount.source, ...summaryOf(status)]);
    await out.write(rows.length === 0 ? 'nothing is mounted\n' : await tableText(['MOUNT POINT', 'SOURCE', 'PID', 'UP', 'DAMAGED CHUNKS'], rows));
  }
  await out.flush();
}

function summaryOf(status: unknown): string[] {
  const { data } = statusSchema.safeParse(status);
  return data === undefined ? ['', 'no answer', ''] : [String(data.driver.pid), durationText(data.uptimeSeconds), String(data.damagedChunks)];
}

async function printStore(place: string, words: ServerWords, json: boolean): Promise<void> {
  try {
    await (await import('../store-status.js')).printStoreStatus(place, words, json);
  } catch (cause) {
    if (isRepositoryText(place) || !['NOT_A_DATASTORE', 'NOT_FOUND'].includes(codeOf(cause) ?? '')) throw cause;
    throw new MountError('NOT_MOUNTED', `no datastore is mounted on ${place}, and it is none; pbsfs status lists what is mounted`, { cause });
  }
}

async function printOne(mount: DatastoreMount, json: boolean): Promise<void> {
  const status = await readStatus(mount.mountPoint);
  const out = new LineWriter();
  if (json) await out.json({ ...mount, status });
  else await out.write(textOf(mount, statusSchema.parse(status)));
  await out.flush();
}

function textOf({ mountPoint, source, options }: DatastoreMount, status: Status): string {
  const { cache, driver } = status;
  const hitRate = cache.hitRate === null ? '' : `, ${(cache.hitRate * 100).toFixed(1)} % of requests found`;
  const rows = [
    ['mount point', mountPoint],
    ['source', source],
    ['options', options.join(',')],
    ['driver', `${driver.name}, process ${driver.pid}, up ${durationText(status.uptimeSeconds)}`],
    ...(status.connection === undefined ? [] : [['server', connectionText(status.connection)]]),
    ['memory', sizeText(status.memory)],
    ['cache', `${sizeText(cache.bytesUsed)} of ${sizeText(cache.bytesMax)}${hitRate}`],
    ...(cache.diskCache === undefined ? [] : [['disk cache', diskCacheText(cache.diskCache)]]),
    ['decoded', `${sizeText(cache.bytesDecoded)}; ${cache.queued} chunks wait, ${cache.inWork} in work`],
    ['archives', `${status.openArchives} open`],
    ['keys', status.keys.length === 0 ? 'none' : status.keys.join(' ')],
    ['damage', `${status.damagedChunks} chunks${status.salvage ? ', read as zeros' : ''}${status.damagedChunks === 0 ? '' : `; see ${mountPoint}/.pbsfs/damaged.jsonl`}`],
  ];
  return rows.map(([name = '', value = '']) => `${name.padEnd(13)}${value}\n`).join('');
}

function connectionText({ connected, since, lastError }: NonNullable<Status['connection']>): string {
  const age = durationText((Date.now() - Date.parse(since)) / 1000);
  return connected ? `answers, for ${age}` : `away for ${age}: ${lastError ?? 'not asked yet'}`;
}

function diskCacheText({ directory, bytesUsed, bytesMax, hits, misses, keeping }: NonNullable<Status['cache']['diskCache']>): string {
  const rate = hits + misses === 0 ? '' : `, ${((hits / (hits + misses)) * 100).toFixed(1)} % of requests found`;
  return `${directory}: ${sizeText(bytesUsed)} of ${sizeText(bytesMax)}${rate}${keeping ? '' : '; nothing is added now'}`;
}
