/** `pbsfs mount`: in the background with an exit status that tells whether the mount is there, or in the foreground. */
import { archiveModes } from '../../backup/backup-request.js';
import { UsageError } from '../../errors.js';
import { defaultLogPath } from '../../mount/log-file.js';
import { stderrLog } from '../../mount/log.js';
import { driverNames, mountRequest, type MountRequest } from '../../mount/mount-request.js';
import { parseOptionString, type MountOptions } from '../../mount/option-string.js';
import { command, jsonOption } from '../command.js';
import { sourceOptions, sourcePositional } from '../source-options.js';
import { writeOut } from '../output.js';

export interface MountCall {
  readonly source: string;
  readonly mountPoint: string;
  readonly optionStrings: readonly string[];
  readonly fromMountHelper: boolean;
  /** From options of the command line; they go before the words after -o. */
  readonly options?: Partial<MountOptions>;
  readonly json?: boolean;
}

const warn = stderrLog(() => 'pbsfs: ');

export async function runMount(call: MountCall): Promise<void> {
  const words = parseOptionString(call.optionStrings, { fromMountHelper: call.fromMountHelper });
  const options = { ...words, ...call.options, keyFiles: [...words.keyFiles, ...(call.options?.keyFiles ?? [])] };
  const request = await withServer(await withPassword(mountRequest(call.source, call.mountPoint, options), options.passwordFile));
  if (options.foreground) {
    if (options.log !== undefined) throw new UsageError('--log is for mounts in the background; with --foreground the log is standard error');
    return await mountInForeground(request);
  }
  const { mountInBackground } = await import('../../mount/background.js');
  const log = options.log ?? defaultLogPath(request.mountPoint);
  const pid = await mountInBackground(request, log);
  if (call.json === true) await writeOut(`${JSON.stringify({ mountPoint: request.mountPoint, source: request.source, pid, log })}\n`);
}

async function mountInForeground(request: MountRequest): Promise<void> {
  const { serveMount } = await import('../../mount/serve.js');
  const ready = (): void => warn(`${request.source} is mounted on ${request.mountPoint}; Ctrl-C unmounts it`);
  await serveMount(request, { log: warn, ready });
}

/** Key files are looked at here, where a person can be asked for their password. */
async function withPassword(request: MountRequest, passwordFile: string | undefined): Promise<MountRequest> {
  if (request.keyFiles.length === 0) return request;
  const [{ readKeyFiles }, { findPassword }] = await Promise.all([import('../../mount/keys.js'), import('../../mount/password.js')]);
  const password = await findPassword(await readKeyFiles(request.keyFiles, warn), passwordFile, warn);
  return password === undefined ? request : { ...request, password };
}

/** The same for what the server wants. */
async function withServer(request: MountRequest): Promise<MountRequest> {
  if (request.server === undefined) return request;
  const { prepareServer } = await import('../../mount/server-access.js');
  return { ...request, server: await prepareServer(request.source, request.server, warn) };
}

export const mountCommand = command({
  name: 'mount',
  summary: 'Mount a datastore',
  positionals: [
    sourcePositional,
    { name: 'MOUNTPOINT', describe: 'an empty directory', completion: 'directory' },
  ],
  options: {
    ...sourceOptions,
    ns: { ...sourceOptions.ns, describe: 'show this namespace as the root' },
    writable: { type: 'boolean', describe: 'let new snapshots be made, in directories called staging (docs/staging.md)' },
    spool: { type: 'string', describe: 'with --writable: where what is staged lies until it is committed (default: /var/lib/pbsfs/spool)', completion: 'directory' },
    mode: { type: 'string', describe: 'with --writable: legacy, data or metadata, how archives are written', completion: { words: archiveModes } },
    'crypt-mode': { type: 'string', describe: 'with --writable: encrypt, sign-only or none (default: encrypt with the first key)', completion: { words: ['encrypt', 'sign-only', 'none'] } },
    'master-pubkey': { type: 'string', describe: 'with --writable: public master key (PEM), for which new snapshots keep their key', completion: 'file' },
    'cache-size': { type: 'string', describe: 'memory for decoded chunks, like 512M (default: 256M)' },
    'disk-cache': { type: 'string', describe: 'keep chunks that were read in this directory, as they are in the datastore', completion: 'directory' },
    'disk-cache-size': { type: 'string', describe: 'most that the disk cache takes, like 50G (default: 10G)' },
    'allow-other': { type: 'boolean', describe: 'let other users see the tree, with the permissions that the files had' },
    driver: { type: 'string', describe: 'kernel (default) or fuse-native', completion: { words: driverNames } },
    foreground: { type: 'boolean', short: 'f', describe: 'stay, and log to standard error' },
    log: { type: 'string', describe: 'log file of a mount in the background', completion: 'file' },
    option: { type: 'string', short: 'o', multiple: true, describe: 'options as mount(8) takes them: ro,allow_other,noexec,keyfile=...' },
    json: jsonOption,
  },
  examples: [
    ['pbsfs mount /srv/store /mnt/pbs', 'mount, and return when it is there'],
    ['pbsfs mount /srv/store /mnt/pbs --keyfile /root/key.json', 'with encrypted backups'],
    ['pbsfs mount --foreground /srv/store /mnt/pbs', 'stay until Ctrl-C'],
    ['pbsfs mount --writable /srv/store /mnt/pbs', 'make snapshots with cp, rsync, dd and mv'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'mountFailed'],
  run: async (values, [source = '', mountPoint = '']) => {
    await runMount({
      source,
      mountPoint,
      optionStrings: values.option ?? [],
      fromMountHelper: false,
      json: values.json ?? false,
      options: {
        keyFiles: values.keyfile ?? [],
        ...(values['password-file'] !== undefined && { passwordFile: values['password-file'] }),
        ...(values.ns !== undefined && { namespace: values.ns }),
        ...(values['cache-size'] !== undefined && { cacheSize: values['cache-size'] }),
        ...(values['disk-cache'] !== undefined && { diskCache: values['disk-cache'] }),
        ...(values['disk-cache-size'] !== undefined && { diskCacheSize: values['disk-cache-size'] }),
        ...(values.driver !== undefined && { driver: values.driver }),
        ...(values.log !== undefined && { log: values.log }),
        ...(values['allow-other'] === true && { allowOther: true }),
        ...(values.salvage === true && { salvage: true }),
        ...(values.writable === true && { writable: true }),
        ...(values.spool !== undefined && { spool: values.spool }),
        ...(values.mode !== undefined && { mode: values.mode }),
        ...(values['crypt-mode'] !== undefined && { cryptMode: values['crypt-mode'] }),
        ...(values['master-pubkey'] !== undefined && { masterKey: values['master-pubkey'] }),
        ...(values.foreground === true && { foreground: true }),
        ...(values.fingerprint !== undefined && { fingerprint: values.fingerprint }),
        ...(values.timeout !== undefined && { timeout: values.timeout }),
      },
    });
  },
});
