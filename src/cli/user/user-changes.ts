/** `pbsfs user add`, `remove`, `passwd`, `token` and `role`: what they make of the users file. */
import { randomUUID } from 'node:crypto';
import { StoreError, UsageError } from '../../errors.js';
import { parseAuthId, type AuthId } from '../../format/auth-id.js';
import { formatGrantPath, isRoleName, parseGrantPath, rolePrivileges, type Grant } from '../../server/access/roles.js';
import { hashSecret } from '../../server/access/secret-hash.js';
import { changeUsers } from '../../server/access/users-file.js';
import { findUser, type UserRecord, type Users } from '../../server/access/users.js';
import { findNewPassword } from '../key/new-password.js';
import { writeOut } from '../output.js';
import { userPasswordSource, usersPathOf, type UserOptions } from './user-options.js';

export async function addUser(values: UserOptions, [name = '']: readonly string[]): Promise<void> {
  const user = userOf(name);
  const password = values['no-password'] === true ? undefined : await newPasswordHash(user, values);
  await changeUsers(usersPathOf(values), (users) => {
    if (users.has(user)) throw new StoreError('EXISTS', `there is a user ${user} already; pbsfs user passwd gives another password`);
    return new Map([...users, [user, { password, grants: [], tokens: new Map() }]]);
  });
  const next = password === undefined ? `pbsfs user token ${user}!NAME makes a token for it` : 'it may log in; pbsfs user role says what for';
  await tell(values, { user }, `${user} is a user now: ${next}`);
}

export async function setPassword(values: UserOptions, [name = '']: readonly string[]): Promise<void> {
  const user = userOf(name);
  const password = await newPasswordHash(user, values);
  await changeUsers(usersPathOf(values), (users) => withUser(users, user, (record) => ({ ...record, password })));
  await tell(values, { user }, `${user} has another password; logins with the old one are over`);
}

export async function removeUser(values: UserOptions, [name = '']: readonly string[]): Promise<void> {
  const { user, token } = parseAuthId(name);
  await changeUsers(usersPathOf(values), (users) => {
    if (token === undefined) {
      findUser(users, user);
      return new Map([...users].filter(([id]) => id !== user));
    }
    return withUser(users, user, (record) => {
      findToken(record, name, token);
      return { ...record, tokens: new Map([...record.tokens].filter(([id]) => id !== token)) };
    });
  });
  await tell(values, { removed: name }, `${name} is removed; sessions that are open run on to their end`);
}

/** The secret is shown once: only its hash is kept. */
export async function addToken(values: UserOptions, [name = '']: readonly string[]): Promise<void> {
  const { user, token } = parseAuthId(name);
  if (token === undefined) throw new UsageError(`${name} names no token; write one like ${name}!laptop`);
  const value = randomUUID();
  const secret = await hashSecret(value);
  await changeUsers(usersPathOf(values), (users) =>
    withUser(users, user, (record) => {
      if (record.tokens.has(token)) throw new StoreError('EXISTS', `there is a token ${name} already; remove it first for another secret`);
      return { ...record, tokens: new Map([...record.tokens, [token, { secret, grants: [] }]]) };
    }),
  );
  await tell(values, { tokenid: name, value }, `${name} has the secret\n${value}\nwhich is shown this once only. Its roles are its own: pbsfs user role ${name} PATH ROLE`);
}

export async function setRole(values: UserOptions, [name = '', pathText = '', role = '']: readonly string[]): Promise<void> {
  const id = parseAuthId(name);
  if (!isRoleName(role)) throw new UsageError(`'${role}' is none of ${Object.keys(rolePrivileges).join(', ')}`);
  const grant: Grant = { path: parseGrantPath(pathText), role, propagate: values['no-propagate'] !== true };
  const isSame = (other: Grant): boolean => other.role === role && formatGrantPath(other.path) === formatGrantPath(grant.path);
  await changeUsers(usersPathOf(values), (users) =>
    withGrants(users, name, id, (grants) => {
      const others = grants.filter((other) => !isSame(other));
      if (values.remove !== true) return [...others, grant];
      if (others.length === grants.length) throw new StoreError('NOT_FOUND', `${name} has no role ${role} on ${formatGrantPath(grant.path)}`);
      return others;
    }),
  );
  const path = formatGrantPath(grant.path);
  await tell(values, { name, path, role, propagate: grant.propagate, removed: values.remove === true }, `${name} ${values.remove === true ? 'is no more' : 'is'} ${role} on ${path}`);
}

function userOf(name: string): string {
  const { user, token } = parseAuthId(name);
  if (token !== undefined) throw new UsageError(`${name} is a token, not a user; pbsfs user token makes those`);
  return user;
}

async function newPasswordHash(user: string, values: UserOptions): Promise<string> {
  return await hashSecret((await findNewPassword(`user ${user}`, userPasswordSource(values))).toString());
}

function withUser(users: Users, user: string, change: (record: UserRecord) => UserRecord): Users {
  return new Map([...users, [user, change(findUser(users, user))]]);
}

function withGrants(users: Users, name: string, { user, token }: AuthId, change: (grants: readonly Grant[]) => readonly Grant[]): Users {
  return withUser(users, user, (record) => {
    if (token === undefined) return { ...record, grants: change(record.grants) };
    const kept = findToken(record, name, token);
    return { ...record, tokens: new Map([...record.tokens, [token, { ...kept, grants: change(kept.grants) }]]) };
  });
}

function findToken({ tokens }: UserRecord, name: string, token: string) {
  const kept = tokens.get(token);
  if (kept === undefined) throw new StoreError('NOT_FOUND', `there is no token ${name}; pbsfs user list shows those that are`);
  return kept;
}

async function tell({ json = false }: UserOptions, facts: object, text: string): Promise<void> {
  await writeOut(json ? `${JSON.stringify(facts)}\n` : `${text}\n`);
}
