/** Who did what, from where, with what result. */

export interface AuditRecord {
  /** As it was said; not believed where `result` is a refusal. */
  readonly who: string;
  readonly from: string;
  /** `login`, `backup`, `forget`... */
  readonly what: string;
  /** Store, group, snapshot, user...: what it was done to. */
  readonly target?: string;
  readonly result: 'ok' | 'refused' | 'failed';
  /** Why not. */
  readonly reason?: string;
}

export interface AuditLog {
  write(record: AuditRecord): void;
}
