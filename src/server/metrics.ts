/** What a server counts, in the text format of Prometheus. Format: text exposition, version 0.0.4. */

const counterHelps = {
  requests_total: 'Requests of the JSON API, by status.',
  session_requests_total: 'Requests inside of HTTP/2 sessions, by protocol and status.',
  received_bytes_total: 'Bytes received from clients, as they travel.',
  sent_bytes_total: 'Bytes sent to clients, as they travel.',
  connections_total: 'Connections accepted.',
  connections_refused_total: 'Connections closed for a limit.',
  sessions_total: 'HTTP/2 sessions begun, by protocol.',
  sessions_refused_total: 'HTTP/2 sessions refused, by protocol.',
  logins_total: 'Logins by password or ticket, by result.',
  authentication_failures_total: 'Requests with wrong or missing credentials.',
  chunks_received_total: 'Chunks that clients sent.',
  chunks_known_total: 'Chunks that clients sent and the store had.',
  chunks_sent_total: 'Chunks that clients fetched.',
  backups_finished_total: 'Snapshots that clients finished.',
  backups_failed_total: 'Backups that ended without a snapshot.',
  failures_total: 'Requests that failed for an error of the server.',
} as const;

const gaugeHelps = {
  connections: 'Connections open now.',
  sessions: 'HTTP/2 sessions open now, by protocol.',
} as const;

export type CounterName = keyof typeof counterHelps;
export type GaugeName = keyof typeof gaugeHelps;
/** Few different values each: every combination is kept for ever. */
export type Labels = Readonly<Record<string, string | number>>;

export class Metrics {
  readonly #values = new Map<string, Map<string, number>>();
  readonly #collectors: (() => void)[] = [];

  /** Counters only grow. */
  add(name: CounterName | GaugeName, by = 1, labels: Labels = {}): void {
    const series = this.#values.get(name) ?? new Map<string, number>();
    this.#values.set(name, series);
    const key = labelText(labels);
    series.set(key, (series.get(key) ?? 0) + by);
  }

  /** Called before values are shown, to add what is only counted now and then. */
  beforeText(collect: () => void): void {
    this.#collectors.push(collect);
  }

  text(): string {
    for (const collect of this.#collectors) collect();
    const families = [...familyLines(counterHelps, 'counter'), ...familyLines(gaugeHelps, 'gauge')];
    return families.map(({ name, head }) => head + this.#samples(name)).join('');
  }

  #samples(name: string): string {
    const series = this.#values.get(name) ?? new Map([['', 0]]);
    return [...series].map(([labels, value]) => `pbsfs_server_${name}${labels} ${value}\n`).join('');
  }
}

function familyLines(helps: Readonly<Record<string, string>>, type: string): { name: string; head: string }[] {
  return Object.entries(helps).map(([name, help]) => ({ name, head: `# HELP pbsfs_server_${name} ${help}\n# TYPE pbsfs_server_${name} ${type}\n` }));
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${String(value).replace(/[\\"\n]/g, '_')}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
