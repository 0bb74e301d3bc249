/** Format: datastore, section 8. Which snapshots of a group are kept. */

/** How many of each; undefined ones keep nothing by themselves, and without any everything is kept. */
export interface KeepOptions {
  readonly last?: number | undefined;
  readonly hourly?: number | undefined;
  readonly daily?: number | undefined;
  readonly weekly?: number | undefined;
  readonly monthly?: number | undefined;
  readonly yearly?: number | undefined;
}
