/** `pbsfs notes`: of snapshots and groups, to read and to change. */
import { UsageError } from '../../errors.js';
import { notesBytesMax, parseNotes } from '../../format/notes.js';
import { administrationOptions, eitherPositional, findEither, pathOf, withAdministration } from '../administer.js';
import { command } from '../command.js';
import { readInput } from '../input.js';
import { writeOut } from '../output.js';

export const notesCommand = command({
  name: 'notes',
  summary: 'Show or write the notes of a snapshot or a group',
  positionals: [eitherPositional, { name: 'TEXT', describe: "what they become; '' removes them", optional: true }],
  options: { ...administrationOptions, file: { type: 'string', describe: 'a file that they become; - is standard input', completion: 'file' } },
  examples: [
    ['pbsfs notes --store /srv/store vm/120/latest', 'what they are'],
    ['pbsfs notes --store /srv/store vm/120/latest "before the upgrade"', 'of a snapshot'],
    ['pbsfs notes --store /srv/store host/web1 --file about.md', 'of a group, from a file'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'busy', 'warnings'],
  run: async (values, [, text], [path = Buffer.alloc(0)]) => {
    if (text !== undefined && values.file !== undefined) throw new UsageError('TEXT and --file both say what the notes become; give one of them');
    const notes = values.file === undefined ? text : parseNotes(await readInput(values.file, notesBytesMax));
    await withAdministration(values, async ({ store, administration }) => {
      const found = await findEither(store, path, values.ns);
      if (notes !== undefined) await administration.setNotes(found, notes);
      const now = notes ?? (await administration.notes(found));
      if (values.json === true) await writeOut(`${JSON.stringify({ of: pathOf(found), notes: now })}\n`);
      else if (notes === undefined && now !== '') await writeOut(now.endsWith('\n') ? now : `${now}\n`);
    });
  },
});
