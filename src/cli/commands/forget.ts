/** `pbsfs forget`: snapshots and groups are removed. */
import type { GroupName, SnapshotName } from '../../format/snapshot-name.js';
import { administrationOptions, eitherPositional, findEither, isSnapshot, pathOf, withAdministration, type Administered } from '../administer.js';
import { command } from '../command.js';
import { confirm } from '../confirm.js';
import { writeOut } from '../output.js';

export const forgetCommand = command({
  name: 'forget',
  summary: 'Remove snapshots, or a group with all of its snapshots',
  positionals: [{ ...eitherPositional, many: true }],
  options: { ...administrationOptions, yes: { type: 'boolean', describe: 'do not ask before a group of several snapshots is removed' } },
  examples: [
    ['pbsfs forget --store /srv/store vm/120/2021-05-24T16:09:24Z', 'one snapshot; its chunks go with the next garbage collection'],
    ['pbsfs forget --store /srv/store --yes host/old', 'a group; protected snapshots keep it'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'busy', 'warnings'],
  run: async (values, _words, paths) => {
    await withAdministration(values, async (opened) => {
      const found: (SnapshotName | GroupName)[] = [];
      for (const path of paths) found.push(await findEither(opened.store, path, values.ns));
      for (const each of found) if (!isSnapshot(each)) await confirmGroup(opened, each, values.yes);
      for (const each of found) await forget(opened, each, values.json ?? false);
    });
  },
});

async function confirmGroup({ store }: Administered, group: GroupName, isSure: boolean | undefined): Promise<void> {
  const { length } = await store.snapshots(group);
  if (length > 1) await confirm(`${pathOf(group)} has ${length} snapshots. Remove all of them?`, isSure);
}

async function forget({ administration }: Administered, found: SnapshotName | GroupName, json: boolean): Promise<void> {
  const removed = pathOf(found);
  if (isSnapshot(found)) {
    await administration.removeSnapshot(found);
    await writeOut(json ? `${JSON.stringify({ removed, snapshots: 1 })}\n` : `${removed} is removed\n`);
    return;
  }
  const { snapshots } = await administration.removeGroup(found);
  await writeOut(json ? `${JSON.stringify({ removed, snapshots })}\n` : `${removed} is removed, with ${snapshots} snapshot${snapshots === 1 ? '' : 's'}\n`);
}
