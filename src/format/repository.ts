/** Format: protocol, sections 1 and 2. The name of a datastore on a server: `[[user@realm[!token]@]host:][port:]datastore`. */

export interface Repository {
  /** `user@realm` or `user@realm!token`; `root@pam` unless it is given. */
  readonly authId: string;
  /** An IPv6 address keeps its brackets. */
  readonly host: string;
  readonly port: number;
  readonly store: string;
}
