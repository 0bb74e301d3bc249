/** `pbsfs upload-log`: the log of a backup goes into its snapshot. Format: datastore, section 1.5. */
import { requiredKey } from '../../archive/snapshot-state.js';
import { encodeBlob } from '../../codec/blob-encoder.js';
import { StoreError } from '../../errors.js';
import { chunkBytesMax } from '../../format/blob.js';
import { snapshotPath } from '../../format/snapshot-name.js';
import { stderrLog } from '../../mount/log.js';
import { command, jsonOption } from '../command.js';
import { readInput } from '../input.js';
import { snapshotOptions, snapshotPositional, withSnapshot } from '../open-snapshot.js';
import { writeOut } from '../output.js';

export const uploadLogCommand = command({
  name: 'upload-log',
  summary: 'Put the log of a backup into its snapshot, as client.log',
  positionals: [snapshotPositional, { name: 'FILE', describe: 'the log; - is standard input', completion: 'file' }],
  options: { ...snapshotOptions, json: jsonOption },
  examples: [['pbsfs upload-log --store /srv/store vm/120/latest backup.log', 'once: a log that is there is not replaced; in an encrypted snapshot it is encrypted']],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'busy', 'exists'],
  run: async (values, [, file = ''], [reference = Buffer.alloc(0)]) => {
    const warn = stderrLog(() => 'pbsfs: ');
    await withSnapshot(values, reference, warn, async ({ context, state }) => {
      const { snapshot, manifest, refusal } = state;
      if (refusal !== undefined) throw refusal;
      if (manifest === undefined) throw new StoreError('UNFINISHED', `${snapshotPath(snapshot)} has no manifest: its backup was not finished`);
      const isEncrypted = manifest.files.some(({ cryptMode }) => cryptMode === 'encrypt');
      const key = isEncrypted ? requiredKey(context, state, snapshotPath(snapshot)) : undefined;
      const encoded = encodeBlob(await readInput(file, chunkBytesMax), { zstd: await context.zstd, key });
      await (await context.store.administration(warn)).writeLog(snapshot, encoded);
      await writeOut(values.json === true ? `${JSON.stringify({ snapshot: snapshotPath(snapshot), bytes: encoded.length })}\n` : `${snapshotPath(snapshot)} has the log\n`);
    });
  },
});
