/** Roles, and which of them somebody has where. Format: protocol, section 7. */
import { UsageError } from '../../errors.js';
import { isSafeId } from '../../format/safe-id.js';
import { parseNamespace, type Namespace } from '../../format/namespace.js';
import { privileges, type Privilege } from '../caller.js';

export const rolePrivileges = {
  Admin: privileges,
  DatastoreAdmin: privileges,
  DatastoreReader: ['Datastore.Audit', 'Datastore.Verify', 'Datastore.Read'],
  DatastoreBackup: ['Datastore.Backup'],
  DatastorePowerUser: ['Datastore.Prune', 'Datastore.Backup'],
  DatastoreAudit: ['Datastore.Audit'],
  NoAccess: [],
} as const satisfies Readonly<Record<string, readonly Privilege[]>>;

export type RoleName = keyof typeof rolePrivileges;

export function isRoleName(name: string): name is RoleName {
  return Object.hasOwn(rolePrivileges, name);
}

export interface Grant {
  /** Components of `/datastore/store1/ns1`; none for everything. */
  readonly path: readonly string[];
  readonly role: RoleName;
  /** Whether it holds for what is below, too. */
  readonly propagate: boolean;
}

/** USAGE for anything but `/`, `/datastore` and what is below that. */
export function parseGrantPath(text: string): readonly string[] {
  const [root, first, store, ...namespace] = text.replace(/(?<=.)\/+$/, '').split('/');
  const fits = root === '' && (first === '' || first === 'datastore') && (store === undefined || (first === 'datastore' && isSafeId(store)));
  if (!fits) throw new UsageError(`'${text}' is no path of roles; write /, /datastore, /datastore/STORE or /datastore/STORE/NAMESPACE`);
  if (first === '') return [];
  return ['datastore', ...(store === undefined ? [] : [store]), ...parseNamespace(namespace.join('/'))];
}

export function formatGrantPath(path: readonly string[]): string {
  return `/${path.join('/')}`;
}

export function datastorePath(store: string, namespace: Namespace): readonly string[] {
  return ['datastore', store, ...namespace];
}

/** Roles of the deepest place on the way to `path` that has some take the place of all others; NoAccess beside them takes all away. */
export function rolesOn(grants: readonly Grant[], path: readonly string[]): ReadonlySet<RoleName> {
  let roles = new Set<RoleName>();
  for (let depth = 0; depth <= path.length; depth++) {
    const here = grants.filter((grant) => grant.path.length === depth && (grant.propagate || depth === path.length) && grant.path.every((part, i) => part === path[i]));
    if (here.length > 0) roles = new Set(here.map(({ role }) => role));
  }
  return roles.has('NoAccess') ? new Set() : roles;
}

export function privilegesOf(roles: ReadonlySet<RoleName>): ReadonlySet<Privilege> {
  return new Set([...roles].flatMap((role): readonly Privilege[] => rolePrivileges[role]));
}
