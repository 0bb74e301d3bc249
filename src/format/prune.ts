/** Format: datastore, section 8; section 13.8 has examples. Which snapshots of a group are kept. */

/** How many of each; undefined ones keep nothing by themselves, and without any everything is kept. */
export interface KeepOptions {
  readonly last?: number | undefined;
  readonly hourly?: number | undefined;
  readonly daily?: number | undefined;
  readonly weekly?: number | undefined;
  readonly monthly?: number | undefined;
  readonly yearly?: number | undefined;
}

export const keepPeriods = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type KeepPeriod = (typeof keepPeriods)[number];

/** `keep-partial`: unfinished, and the newest of the group. */
export type PruneMark = 'keep' | 'keep-partial' | 'protected' | 'remove';

export interface PruneCandidate {
  /** Seconds since 1970. */
  readonly time: number;
  readonly finished: boolean;
  readonly protected: boolean;
}

/** Of each snapshot, in the order given. Periods are those of the local time zone. */
export function pruneMarks(snapshots: readonly PruneCandidate[], keep: KeepOptions): PruneMark[] {
  const newestFirst = [...snapshots.keys()].sort((a, b) => timeOf(snapshots, b) - timeOf(snapshots, a));
  const marks = new Map<number, PruneMark>();
  if (keepPeriods.every((period) => (keep[period] ?? 0) === 0)) {
    return snapshots.map((snapshot) => (snapshot.protected ? 'protected' : 'keep'));
  }
  markUnfinished(snapshots, newestFirst, marks);
  for (const period of keepPeriods) markPeriods(snapshots, newestFirst, marks, keep[period] ?? 0, periodNames[period]);
  return snapshots.map((snapshot, i) => (snapshot.protected ? 'protected' : (marks.get(i) ?? 'remove')));
}

function markUnfinished(snapshots: readonly PruneCandidate[], newestFirst: readonly number[], marks: Map<number, PruneMark>): void {
  for (const [rank, i] of newestFirst.entries()) {
    if (snapshots[i]?.finished === false) marks.set(i, rank === 0 ? 'keep-partial' : 'remove');
  }
}

/** What lies in a period that has a kept snapshot already stays unmarked: a coarser option may still take it. */
function markPeriods(
  snapshots: readonly PruneCandidate[],
  newestFirst: readonly number[],
  marks: Map<number, PruneMark>,
  count: number,
  nameOf: (time: number) => string,
): void {
  if (count === 0) return;
  const already = new Set(newestFirst.filter((i) => marks.get(i) === 'keep').map((i) => nameOf(timeOf(snapshots, i))));
  const included = new Set<string>();
  for (const i of newestFirst) {
    if (marks.has(i)) continue;
    if (snapshots[i]?.protected === true) {
      marks.set(i, 'protected');
      continue;
    }
    const name = nameOf(timeOf(snapshots, i));
    if (already.has(name)) continue;
    if (included.has(name)) {
      marks.set(i, 'remove');
      continue;
    }
    if (included.size >= count) return;
    included.add(name);
    marks.set(i, 'keep');
  }
}

function timeOf(snapshots: readonly PruneCandidate[], i: number): number {
  return snapshots[i]?.time ?? 0;
}

const periodNames: Readonly<Record<KeepPeriod, (time: number) => string>> = {
  last: String,
  hourly: (time) => `${day(time)}/${local(time).getHours()}`,
  daily: day,
  weekly: week,
  monthly: (time) => `${local(time).getFullYear()}/${local(time).getMonth()}`,
  yearly: (time) => String(local(time).getFullYear()),
};

function local(time: number): Date {
  return new Date(time * 1000);
}

function day(time: number): string {
  const date = local(time);
  return `${date.getFullYear()}/${date.getMonth()}/${date.getDate()}`;
}

/** The year and number of the ISO week: that of its Thursday. */
function week(time: number): string {
  const date = local(time);
  const thursday = new Date(0);
  thursday.setUTCFullYear(date.getFullYear(), date.getMonth(), date.getDate() + 3 - ((date.getDay() + 6) % 7));
  const year = thursday.getUTCFullYear();
  const dayOfYear = Math.round((thursday.getTime() - new Date(0).setUTCFullYear(year, 0, 1)) / 86_400_000);
  return `${year}/${Math.floor(dayOfYear / 7)}`;
}
