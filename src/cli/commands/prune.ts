/** `pbsfs prune`: of old snapshots only some are kept. Format: datastore, section 8. */
import { UsageError } from '../../errors.js';
import { keepPeriods, type KeepOptions, type KeepPeriod } from '../../format/prune.js';
import { snapshotPath } from '../../format/snapshot-name.js';
import type { PruneDecision } from '../../store/administration.js';
import { administrationOptions, findGroup, groupPositional, withAdministration } from '../administer.js';
import { command } from '../command.js';
import { LineWriter } from '../output.js';
import { tableText } from '../text.js';

const keepMax = 1_000_000;

function keep(what: string): { readonly type: 'string'; readonly describe: string } {
  return { type: 'string', describe: `keep ${what}, for so many of them` };
}

const keepOptions = {
  'keep-last': { type: 'string', describe: 'keep so many of the newest snapshots' },
  'keep-hourly': keep('the newest of each hour'),
  'keep-daily': keep('the newest of each day'),
  'keep-weekly': keep('the newest of each week'),
  'keep-monthly': keep('the newest of each month'),
  'keep-yearly': keep('the newest of each year'),
} as const satisfies Readonly<Record<`keep-${KeepPeriod}`, unknown>>;

export const pruneCommand = command({
  name: 'prune',
  summary: 'Remove old snapshots of a group, by how many of which age are to be kept',
  positionals: [{ ...groupPositional, many: true }],
  options: { ...administrationOptions, ...keepOptions, 'dry-run': { type: 'boolean', describe: 'only show what would be kept and removed' } },
  examples: [
    ['pbsfs prune --store /srv/store host/web1 --keep-last 3 --keep-daily 7 --keep-weekly 4 --dry-run', 'what would be done'],
    ['pbsfs prune --store /srv/store vm/120 vm/121 --keep-daily 14', 'two groups'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'busy', 'warnings'],
  run: async (values, _words, paths) => {
    const options: KeepOptions = Object.fromEntries(keepPeriods.map((period) => [period, countOf(`keep-${period}`, values[`keep-${period}`])]));
    if (Object.values(options).every((count) => count === undefined)) throw new UsageError('no --keep option is given: all would be kept. Say how many, as --keep-last 3');
    const { 'dry-run': dryRun = false, json = false } = values;
    await withAdministration(values, async ({ store, administration }) => {
      const decisions: PruneDecision[] = [];
      for (const path of paths) decisions.push(...(await administration.prune(await findGroup(store, path, values.ns), options, { dryRun })));
      await print(decisions, json);
    });
  },
});

function countOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = /^[0-9]{1,7}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > keepMax) throw new UsageError(`--${name} ${text}: a number from 1 to ${keepMax} is needed`);
  return count;
}

async function print(decisions: readonly PruneDecision[], json: boolean): Promise<void> {
  const out = new LineWriter();
  if (json) for (const { snapshot, keep: isKept, protected: isProtected } of decisions) await out.json({ snapshot: snapshotPath(snapshot), epoch: snapshot.time, keep: isKept, protected: isProtected });
  else await out.write(decisions.length === 0 ? 'no snapshots\n' : await tableText(['SNAPSHOT', 'DECISION'], decisions.map((decision) => [snapshotPath(decision.snapshot), wordOf(decision)])));
  await out.flush();
}

function wordOf({ keep: isKept, protected: isProtected }: PruneDecision): string {
  if (isProtected) return 'protected';
  return isKept ? 'keep' : 'remove';
}
