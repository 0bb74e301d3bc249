/** `pbsfs gc`: chunks that nothing names any more are removed. Format: datastore, section 7. */
import { FileError } from '../../errors.js';
import { encodeGcStatus } from '../../format/gc-status.js';
import { stderrLog } from '../../mount/log.js';
import { withAdministration } from '../administer.js';
import { command, jsonOption } from '../command.js';
import { interruptible } from '../interrupt.js';
import { writeOut } from '../output.js';
import { serverOptions, sourcePositional } from '../source-options.js';

export const gcCommand = command({
  name: 'gc',
  summary: 'Remove the chunks of a datastore that no snapshot needs any more',
  positionals: [sourcePositional],
  options: { ...serverOptions, json: jsonOption },
  examples: [['pbsfs gc /srv/store', 'while nobody writes; chunks that were used within the last day stay']],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'busy', 'warnings', 'interrupted'],
  run: async ({ json = false, ...values }, [store = '']) => {
    const log = stderrLog(() => 'pbsfs: ');
    await withAdministration({ ...values, store }, async ({ administration }) => {
      if (administration.collectGarbage === undefined) throw new FileError('NOT_SUPPORTED', `garbage can't be collected from here: the server of ${store} does that`);
      const collect = administration.collectGarbage.bind(administration);
      const status = await interruptible((signal) => collect({ log, signal }), log);
      if (json) await writeOut(`${encodeGcStatus(status).toString()}\n`);
    });
  },
});
