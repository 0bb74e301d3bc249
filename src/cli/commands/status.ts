/** `pbsfs status`: what is mounted, and how the daemons are. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { MountError, messageOf } from '../../errors.js';
import { listMounts, readStatus, type DatastoreMount } from '../../mount/mounts.js';
import { command, jsonOption } from '../command.js';
import { LineWriter } from '../output.js';
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
  }),
  driver: z.object({ name: z.string(), pid: z.number() }),
});
type Status = z.infer<typeof statusSchema>;

export const statusCommand = command({
  name: 'status',
  summary: 'Show what is mounted, or how one mount is doing',
  positionals: [{ name: 'MOUNTPOINT', describe: 'one mount, with numbers', optional: true, completion: 'mount' }],
  options: { json: { ...jsonOption, describe: 'print a JSON object a line for each mount' } },
  examples: [
    ['pbsfs status', 'all mounts'],
    ['pbsfs status /mnt/pbs', 'cache, memory and damage of one'],
  ],
  statuses: ['failed', 'notFound', 'mountFailed'],
  run: async ({ json = false }, [mountPoint]) => {
    await (mountPoint === undefined ? printAll(json) : printOne(resolve(mountPoint), json));
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

async function printOne(mountPoint: string, json: boolean): Promise<void> {
  const mount = listMounts().findLast((each) => each.mountPoint === mountPoint);
  if (mount === undefined) throw new MountError('NOT_MOUNTED', `no datastore is mounted on ${mountPoint}; pbsfs status lists those that are`);
  const status = await readStatus(mountPoint);
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
    ['memory', sizeText(status.memory)],
    ['cache', `${sizeText(cache.bytesUsed)} of ${sizeText(cache.bytesMax)}${hitRate}`],
    ['decoded', `${sizeText(cache.bytesDecoded)}; ${cache.queued} chunks wait, ${cache.inWork} in work`],
    ['archives', `${status.openArchives} open`],
    ['keys', status.keys.length === 0 ? 'none' : status.keys.join(' ')],
    ['damage', `${status.damagedChunks} chunks${status.salvage ? ', read as zeros' : ''}${status.damagedChunks === 0 ? '' : `; see ${mountPoint}/.pbsfs/damaged.jsonl`}`],
  ];
  return rows.map(([name = '', value = '']) => `${name.padEnd(13)}${value}\n`).join('');
}
