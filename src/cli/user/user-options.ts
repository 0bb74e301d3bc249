/** What the subcommands of `pbsfs user` take. */
import { stderrLog } from '../../mount/log.js';
import { defaultUsersPath } from '../../server/access/users-file.js';
import { jsonOption, type OptionSpecs, type OptionValues } from '../command.js';
import type { PasswordSource } from '../key/new-password.js';

const userPasswordVariable = 'PBSFS_USER_PASSWORD';

export const userOptions = {
  users: { type: 'string', describe: 'users file (default: /etc/pbsfs/users.json; ~/.config/pbsfs/users.json if not root)', completion: 'file' },
  'password-file': { type: 'string', describe: `file with the password, - for standard input (else ${userPasswordVariable}, or you are asked)`, completion: 'file' },
  'no-password': { type: 'boolean', describe: 'add: a user who only has tokens' },
  'no-propagate': { type: 'boolean', describe: 'role: only for the path itself, not for what is below' },
  remove: { type: 'boolean', describe: 'role: take it away' },
  json: jsonOption,
} as const satisfies OptionSpecs;

export type UserOptions = OptionValues<typeof userOptions>;

export const warn = stderrLog(() => 'pbsfs: ');

export function usersPathOf({ users }: UserOptions): string {
  return users ?? defaultUsersPath();
}

export function userPasswordSource({ 'password-file': file }: UserOptions): PasswordSource {
  return { variable: userPasswordVariable, option: '--password-file', file: file === '-' ? '/dev/stdin' : file, warn };
}
