/** Users, their API tokens and their roles, as the users file has them. */
import { StoreError } from '../../errors.js';
import { parseAuthId, type AuthId } from '../../format/auth-id.js';
import { count, listOf, members, optional, text, type Shape } from '../../format/json-shape.js';
import { parseJson, writeJson, type JsonObject } from '../../format/json.js';
import { FormatError } from '../../errors.js';
import { formatGrantPath, isRoleName, parseGrantPath, type Grant } from './roles.js';
import { isSecretHash } from './secret-hash.js';

export interface TokenRecord {
  /** Hashed. */
  readonly secret: string;
  readonly grants: readonly Grant[];
}

export interface UserRecord {
  /** Hashed. Undefined: only tokens. */
  readonly password: string | undefined;
  readonly grants: readonly Grant[];
  /** By name. */
  readonly tokens: ReadonlyMap<string, TokenRecord>;
}

/** By user id. */
export type Users = ReadonlyMap<string, UserRecord>;

/** As they are at the moment. */
export interface UserSource {
  current(): Promise<Users>;
}

export const usersFileBytesMax = 4 << 20;
const usersMax = 10_000;
const fileVersion = 1;

const grant: Shape<Grant> = (value, path) => {
  const given = members(value, path);
  const role = text(given.role, `${path}.role`);
  if (!isRoleName(role)) throw new FormatError('BAD_STRUCTURE', `${path}.role: there is no role '${role}'`);
  return { path: parseGrantPath(text(given.path, `${path}.path`)), role, propagate: given.propagate !== false };
};

const secretHash: Shape<string> = (value, path) => {
  const hash = text(value, path);
  if (!isSecretHash(hash)) throw new FormatError('BAD_STRUCTURE', `${path} is no hashed secret; pbsfs user passwd makes one`);
  return hash;
};

const token: Shape<TokenRecord> = (value, path) => {
  const given = members(value, path);
  return { secret: secretHash(given.secret, `${path}.secret`), grants: optional(listOf(grant))(given.roles, `${path}.roles`) ?? [] };
};

const user: Shape<UserRecord> = (value, path) => {
  const given = members(value, path);
  const tokens = Object.entries(optional(members)(given.tokens, `${path}.tokens`) ?? {});
  return {
    password: optional(secretHash)(given.password, `${path}.password`),
    grants: optional(listOf(grant))(given.roles, `${path}.roles`) ?? [],
    tokens: new Map(tokens.map(([name, record]) => [name, token(record, `${path}.tokens.${name}`)])),
  };
};

/** BAD_STRUCTURE, BAD_NAME, USAGE with the place in the file; UNSUPPORTED_VERSION. */
export function parseUsers(bytes: Uint8Array, what: string): Users {
  const file = members(parseJson(bytes, what, usersFileBytesMax), what);
  const version = count(file.version, `${what}: version`);
  if (version !== fileVersion) throw new FormatError('UNSUPPORTED_VERSION', `${what} has version ${version}, and this program knows ${fileVersion}`);
  const entries = Object.entries(members(file.users, `${what}: users`));
  if (entries.length > usersMax) throw new FormatError('LIMIT_EXCEEDED', `${what} has more than ${usersMax} users`);
  return new Map(
    entries.map(([id, record]) => {
      const parsed = user(record, `${what}: users.${id}`);
      for (const name of [id, ...[...parsed.tokens.keys()].map((tokenName) => `${id}!${tokenName}`)]) parseAuthId(name);
      return [id, parsed];
    }),
  );
}

export function encodeUsers(users: Users): Buffer {
  const file = { version: fileVersion, users: Object.fromEntries([...users].map(([id, record]) => [id, userJson(record)])) };
  return Buffer.from(`${writeJson(file, 2)}\n`);
}

function userJson({ password, grants, tokens }: UserRecord): JsonObject {
  const tokenEntries = [...tokens].map(([name, { secret, grants: roles }]): [string, JsonObject] => [name, { secret, roles: roles.map(grantJson) }]);
  return { ...(password !== undefined && { password }), roles: grants.map(grantJson), tokens: Object.fromEntries(tokenEntries) };
}

export function grantJson({ path, role, propagate }: Grant): JsonObject {
  return { path: formatGrantPath(path), role, propagate };
}

export function isKnown(users: Users, { user, token }: AuthId): boolean {
  const record = users.get(user);
  return record !== undefined && (token === undefined || record.tokens.has(token));
}

/** NOT_FOUND. */
export function findUser(users: Users, id: string): UserRecord {
  const record = users.get(id);
  if (record === undefined) throw new StoreError('NOT_FOUND', `there is no user ${id}; pbsfs user list shows those that are`);
  return record;
}
