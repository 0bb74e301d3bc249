/** What `pbsfs backup` takes. */
import { archiveModes } from '../backup/backup-request.js';
import { backupTypes } from '../format/snapshot-name.js';
import { jsonOption, type OptionSpecs, type OptionValues } from './command.js';
import { encryptionOptions, sourceOptions, storeOption } from './source-options.js';

export const chunkKibMin = 64;
export const chunkKibMax = 4096;
export const entriesMaxDefault = 1_048_576;

export const backupOptions = {
  ...storeOption,
  ns: { ...sourceOptions.ns, describe: 'back up into this namespace' },
  type: { type: 'string', describe: 'vm, ct or host (default: host)', completion: { words: backupTypes } },
  id: { type: 'string', describe: 'name of the group (default: the name of this host)' },
  time: { type: 'string', describe: 'time of the snapshot, 2026-11-21T19:00:00Z or seconds since 1970 (default: now)' },
  mode: {
    type: 'string',
    describe: 'legacy, data or metadata: how archives are written (default: metadata where the previous snapshot is split, else data)',
    completion: { words: archiveModes },
  },
  ...encryptionOptions,
  exclude: { type: 'string', multiple: true, describe: 'pattern of what is left out, as a line of .pxarexclude; may be given several times' },
  'skip-lost-and-found': { type: 'boolean', describe: 'leave out directories called lost+found' },
  'all-file-systems': { type: 'boolean', describe: 'also what is mounted below the directory' },
  'include-dev': { type: 'string', multiple: true, describe: 'also the file system that this path is on; may be given several times', completion: 'directory' },
  'skip-unreadable': { type: 'boolean', describe: 'leave out what may not be read, with a warning, instead of stopping' },
  'skip-e2big-xattr': { type: 'boolean', describe: 'leave out extended attributes that are too many or too large, with a warning, instead of stopping' },
  'entries-max': { type: 'string', describe: `most entries of the directories on one path together (default: ${entriesMaxDefault})` },
  'chunk-size': { type: 'string', describe: `average size of chunks of archives in KiB, a power of two, ${chunkKibMin} to ${chunkKibMax} (default: ${chunkKibMax})` },
  changed: { type: 'string', multiple: true, describe: 'NAME.img=FILE: read only the ranges that FILE lists (JSON), or with ,granularity=BYTES a bitmap', completion: 'file' },
  'changed-since': { type: 'string', multiple: true, describe: 'NAME.img=CSUM: the index that the list began after; another one means a full read' },
  owner: { type: 'string', describe: 'owner of a new group (default: root@pam), and who must own an existing one' },
  notes: { type: 'string', describe: 'notes of the snapshot' },
  json: { ...jsonOption, describe: 'print a JSON object a line for each event, the last one with the result' },
} as const satisfies OptionSpecs;

export type BackupValues = OptionValues<typeof backupOptions>;
