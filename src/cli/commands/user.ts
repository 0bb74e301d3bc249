/** `pbsfs user`: who may use a server, and for what. */
import { UsageError } from '../../errors.js';
import { command } from '../command.js';
import { addToken, addUser, removeUser, setPassword, setRole } from '../user/user-changes.js';
import { listUsers } from '../user/user-list.js';
import { userOptions, type UserOptions } from '../user/user-options.js';

interface Subcommand {
  readonly words: readonly string[];
  readonly options: readonly (keyof UserOptions)[];
  readonly run: (values: UserOptions, words: readonly string[]) => Promise<void>;
}

const subcommands: Readonly<Record<string, Subcommand>> = {
  add: { words: ['USER@REALM'], options: ['password-file', 'no-password'], run: addUser },
  list: { words: [], options: [], run: listUsers },
  remove: { words: ['USER@REALM[!TOKEN]'], options: [], run: removeUser },
  passwd: { words: ['USER@REALM'], options: ['password-file'], run: setPassword },
  token: { words: ['USER@REALM!TOKEN'], options: [], run: addToken },
  role: { words: ['USER@REALM[!TOKEN]', 'PATH', 'ROLE'], options: ['no-propagate', 'remove'], run: setRole },
};

export const userCommand = command({
  name: 'user',
  summary: 'Say who may use a server, and for what',
  positionals: [
    { name: 'SUBCOMMAND', describe: Object.keys(subcommands).join(', '), completion: { words: Object.keys(subcommands) } },
    { name: 'WORD', describe: 'what the examples show', optional: true, many: true },
  ],
  options: userOptions,
  examples: [
    ['pbsfs user add backup@pbs', 'a user, with a password'],
    ['pbsfs user passwd backup@pbs', 'another password'],
    ['pbsfs user token backup@pbs!laptop', 'an API token; its secret is shown once'],
    ['pbsfs user role backup@pbs /datastore/store DatastorePowerUser', 'may back up, and prune what is its own'],
    ['pbsfs user role backup@pbs!laptop /datastore/store/prod DatastoreBackup', 'a token, in a namespace'],
    ['pbsfs user role backup@pbs /datastore/store DatastorePowerUser --remove', 'no more'],
    ['pbsfs user remove backup@pbs', 'with all tokens'],
    ['pbsfs user list', 'who there is'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'exists', 'busy'],
  run: async (values, [name = '', ...words]) => {
    const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
    if (subcommand === undefined) throw new UsageError(`'${name}' is none of ${Object.keys(subcommands).join(', ')}; pbsfs user --help tells what they do`);
    const { words: expected, options, run } = subcommand;
    if (words.length !== expected.length) throw new UsageError(`pbsfs user ${name} takes ${expected.length === 0 ? 'nothing more' : expected.join(' ')}`);
    const strange = Object.keys(values).find((option) => !['users', 'json', ...options].includes(option));
    if (strange !== undefined) throw new UsageError(`--${strange} has no meaning for pbsfs user ${name}`);
    await run(values, words);
  },
});
