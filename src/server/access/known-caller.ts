/** A caller whose credentials were right, with the roles of that moment. Format: protocol, section 7. */
import { formatNamespace, type Namespace } from '../../format/namespace.js';
import { privileges, type Caller, type Privilege } from '../caller.js';
import { datastorePath, privilegesOf, rolesOn, type Grant } from './roles.js';
import type { Users } from './users.js';

interface Identity {
  readonly user: string;
  readonly token: string | undefined;
}

/** Has everything, by its name, if the users file knows it. Its tokens have only their roles. */
const superuser = 'root@pam';
const everything: ReadonlySet<Privilege> = new Set(privileges);

export function callerOf(users: Users, { user, token }: Identity, address: string): Caller {
  const record = users.get(user);
  const tokenGrants = token === undefined ? undefined : (record?.tokens.get(token)?.grants ?? []);
  const userGrants = user === superuser && record !== undefined ? undefined : (record?.grants ?? []);
  const known = new Map<string, ReadonlySet<Privilege>>();
  const isAdministrator = [userGrants, tokenGrants].every((grants) => grants === undefined || rolesOn(grants, []).has('Admin'));
  return {
    authId: token === undefined ? user : `${user}!${token}`,
    userId: user,
    address,
    isAdministrator,
    hasRightsBelow(store: string) {
      const places = [...(userGrants ?? []), ...(tokenGrants ?? [])].map(({ path }) => path);
      const below = places.filter((path) => path[0] === 'datastore' && path[1] === store);
      return [datastorePath(store, []), ...below].some((path) => privilegesAt(userGrants, tokenGrants, path).size > 0);
    },
    privilegesOn(store: string, namespace: Namespace) {
      const key = `${store}/${formatNamespace(namespace)}`;
      const found = known.get(key) ?? privilegesAt(userGrants, tokenGrants, datastorePath(store, namespace));
      known.set(key, found);
      return found;
    },
  };
}

/** Undefined grants: everything is allowed. A token has what its user has, too. */
function privilegesAt(userGrants: readonly Grant[] | undefined, tokenGrants: readonly Grant[] | undefined, path: readonly string[]): ReadonlySet<Privilege> {
  const [ofUser, ofToken] = [userGrants, tokenGrants].map((grants) => (grants === undefined ? everything : privilegesOf(rolesOn(grants, path))));
  return new Set([...(ofUser ?? [])].filter((privilege) => ofToken?.has(privilege) === true));
}

/** Of calls that need no login. */
export function nobody(address: string): Caller {
  return { authId: '', userId: '', address, isAdministrator: false, hasRightsBelow: () => false, privilegesOn: () => new Set() };
}
