/** `pbsfs protect`: snapshots that are not removed. */
import { snapshotPath } from '../../format/snapshot-name.js';
import { administrationOptions, findSnapshot, snapshotPositional, withAdministration } from '../administer.js';
import { command } from '../command.js';
import { writeOut } from '../output.js';

export const protectCommand = command({
  name: 'protect',
  summary: 'Protect snapshots from being removed, or end that',
  positionals: [{ ...snapshotPositional, many: true }],
  options: { ...administrationOptions, off: { type: 'boolean', describe: 'they may be removed again' } },
  examples: [
    ['pbsfs protect --store /srv/store vm/120/latest', 'neither prune nor forget removes it from now on'],
    ['pbsfs protect --off --store /srv/store vm/120/2021-05-24T16:09:24Z', 'it may be removed again'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'busy', 'warnings'],
  run: async (values, _words, paths) => {
    const isProtected = values.off !== true;
    await withAdministration(values, async ({ store, administration }) => {
      for (const path of paths) {
        const snapshot = await findSnapshot(store, path, values.ns);
        await administration.setProtected(snapshot, isProtected);
        const name = snapshotPath(snapshot);
        await writeOut(values.json === true ? `${JSON.stringify({ snapshot: name, protected: isProtected })}\n` : `${name} is ${isProtected ? '' : 'not '}protected\n`);
      }
    });
  },
});
