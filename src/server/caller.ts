/** Who asks, and what they may. Format: protocol, section 7. */
import type { Namespace } from '../format/namespace.js';

export const privileges = ['Datastore.Audit', 'Datastore.Read', 'Datastore.Backup', 'Datastore.Modify', 'Datastore.Prune', 'Datastore.Verify'] as const;
export type Privilege = (typeof privileges)[number];

export interface Caller {
  /** `user@realm` or `user@realm!token`. */
  readonly authId: string;
  /** Without the token. */
  readonly userId: string;
  /** For the audit log. */
  readonly address: string;
  /** Sees and ends the tasks of all. */
  readonly isAdministrator: boolean;
  /** In some namespace of it, or in all. */
  hasRightsBelow(store: string): boolean;
  privilegesOn(store: string, namespace: Namespace): ReadonlySet<Privilege>;
}

/** Whether a group of `owner` is the caller's: their own, or that of one of a user's tokens. */
export function owns({ authId }: Pick<Caller, 'authId'>, owner: string | undefined): boolean {
  return owner !== undefined && (owner === authId || (!authId.includes('!') && owner.startsWith(`${authId}!`)));
}
