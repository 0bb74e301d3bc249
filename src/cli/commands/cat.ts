/** `pbsfs cat`: the bytes of files, straight from the store. */
import { FileError } from '../../errors.js';
import { S_IFDIR, S_IFMT, S_IFREG, type OpenFile } from '../../vfs/file-system.js';
import { printableName } from '../../vfs/name.js';
import { command, jsonOption } from '../command.js';
import { locate, withSource, type Located, type OpenSource } from '../open-source.js';
import { writeOut } from '../output.js';
import { sourceOptions, sourcePositional } from '../source-options.js';

const readBytes = 1024 * 1024;

export const catCommand = command({
  name: 'cat',
  summary: 'Write files of a backup to standard output',
  positionals: [sourcePositional, { name: 'PATH', completion: 'path', describe: 'type/id/time/..., where time may be latest or the beginning of one', many: true }],
  options: { ...sourceOptions, json: { ...jsonOption, describe: 'report errors as JSON' } },
  examples: [
    ['pbsfs cat /srv/store ct/113/latest/root.pxar/etc/fstab', 'one file of a container'],
    ['pbsfs cat /srv/store vm/120/2021-05-24T16:23/drive-scsi0.img > disk.img', 'a whole disk'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'outputClosed'],
  run: (values, [source = ''], [, ...paths]) =>
    withSource(source, values, async (opened) => {
      for (const path of paths) await writeFile(opened, await locate(opened, path, { followLast: true }));
    }),
});

async function writeFile({ tree }: OpenSource, { entry, path }: Located): Promise<void> {
  const type = entry.attributes.mode & S_IFMT;
  if (type === S_IFDIR) throw new FileError('IS_A_DIRECTORY', `'${printableName(path)}' is a directory; pbsfs ls lists it`);
  if (type !== S_IFREG) throw new FileError('INVALID_ARGUMENT', `'${printableName(path)}' is a device, fifo or socket and has no content`);
  const file = await tree.open(entry.attributes.ino);
  try {
    await writeAll(file);
  } finally {
    file.close();
  }
}

/** What is read is a view that is valid for this turn only, so it is copied before it is written. */
async function writeAll(file: OpenFile): Promise<void> {
  for (let offset = 0; ; ) {
    const bytes = Buffer.concat(await file.read(offset, readBytes));
    if (bytes.length === 0) return;
    await writeOut(bytes);
    offset += bytes.length;
  }
}
