/** The one table from errors to exit statuses. docs/mounting.md and every help text show it. */
import { codeOf, type ErrorCode } from '../errors.js';

export const exitStatuses = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  noAccess: 4,
  notADatastore: 5,
  mountFailed: 6,
  busy: 7,
  exists: 8,
  warnings: 9,
  unreachable: 10,
  interrupted: 130,
  outputClosed: 141,
} as const;

export type ExitStatusName = keyof typeof exitStatuses;
export type ExitStatus = (typeof exitStatuses)[ExitStatusName];

export const exitStatusTexts: Readonly<Record<ExitStatusName, string>> = {
  ok: 'success',
  failed: 'input or output failed, or what was asked for is damaged',
  usage: 'the command line makes no sense',
  notFound: 'no such source, namespace, group, snapshot, path or mount; or a name that fits several',
  noAccess: 'no permission, or a key or password is missing or wrong',
  notADatastore: 'the source is not a datastore',
  mountFailed: 'mounting or unmounting failed',
  busy: 'the mount is in use, or the group or datastore is locked by another program',
  exists: 'what was to be made is there already, or a newer snapshot is',
  warnings: 'done, but something was left out or could not be restored as it was: the warnings say what',
  unreachable: 'the server of the datastore could not be reached, or the connection to it broke',
  interrupted: 'ended by Ctrl-C or a signal, nothing half-done is left',
  outputClosed: 'whoever read the output closed it',
};

const nameOfCode: Readonly<Partial<Record<ErrorCode, ExitStatusName>>> = {
  USAGE: 'usage',
  BAD_NAME: 'usage',
  NOT_FOUND: 'notFound',
  AMBIGUOUS: 'notFound',
  NOT_MOUNTED: 'notFound',
  NO_PERMISSION: 'noAccess',
  NOT_OWNER: 'noAccess',
  LOGIN_FAILED: 'noAccess',
  UNTRUSTED: 'noAccess',
  UNREACHABLE: 'unreachable',
  EXISTS: 'exists',
  LOCKED: 'busy',
  MAINTENANCE: 'busy',
  INTERRUPTED: 'interrupted',
  KEY_REQUIRED: 'noAccess',
  WRONG_KEY: 'noAccess',
  WRONG_PASSWORD: 'noAccess',
  PASSWORD_REQUIRED: 'noAccess',
  BAD_KEY_FILE: 'noAccess',
  NO_PRIVILEGE: 'noAccess',
  NOT_A_DATASTORE: 'notADatastore',
  MOUNT_POINT: 'mountFailed',
  NO_FUSE: 'mountFailed',
  MOUNT_FAILED: 'mountFailed',
  BUSY: 'busy',
};
const nameOfSystemCode: Readonly<Record<string, ExitStatusName>> = {
  ENOENT: 'notFound',
  EACCES: 'noAccess',
  EPERM: 'noAccess',
  EPIPE: 'outputClosed',
};

export function exitStatusOf(error: unknown): ExitStatus {
  const code = codeOf(error) ?? '';
  return exitStatuses[(nameOfCode as Readonly<Record<string, ExitStatusName>>)[code] ?? nameOfSystemCode[code] ?? 'failed'];
}
