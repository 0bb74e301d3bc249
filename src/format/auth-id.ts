/** Format: protocol, section 1. Who asks a server: a user, or an API token of one. */
import { FormatError } from '../errors.js';
import { isSafeId } from './safe-id.js';

export interface AuthId {
  /** `name@realm`; the name may contain `@`. */
  readonly user: string;
  /** Undefined for the user. */
  readonly token: string | undefined;
}

const userLengthMin = 3;
const userLengthMax = 64;
const realmLengthMin = 2;
const realmLengthMax = 32;
const tokenLengthMax = 64;

/** `backup@pbs` or `backup@pbs!token`. Tokens of real stores have names of two characters, against the specification's three. Throws BAD_NAME. */
export function parseAuthId(text: string): AuthId {
  const [, user = text, token] = /^(.*@[^@!]*)!(.*)$/s.exec(text) ?? [];
  const fault = faultOfUser(user) ?? (token === undefined ? undefined : faultOfToken(token));
  if (fault !== undefined) throw new FormatError('BAD_NAME', `${JSON.stringify(text)} is not a user like 'backup@pbs' or a token like 'backup@pbs!name': ${fault}`);
  return { user, token };
}

function faultOfUser(user: string): string | undefined {
  const at = user.lastIndexOf('@');
  if (at === -1) return 'the realm is missing';
  const [name, realm] = [user.slice(0, at), user.slice(at + 1)];
  if (!/^[^\s:/\p{Cc}]+$/u.test(name)) return 'a name has no spaces, colons or slashes';
  if (!isSafeId(realm) || realm.length < realmLengthMin || realm.length > realmLengthMax) return `a realm has ${realmLengthMin} to ${realmLengthMax} letters or digits`;
  if (user.length < userLengthMin || user.length > userLengthMax) return `a user has at most ${userLengthMax} characters`;
  return undefined;
}

function faultOfToken(token: string): string | undefined {
  if (isSafeId(token) && token.length <= tokenLengthMax) return undefined;
  return `a token's name has 1 to ${tokenLengthMax} letters or digits`;
}
