/** A line for every request: JSON, without anything secret. */

export interface AccessRecord {
  readonly time: string;
  readonly address: string;
  /** Empty if nobody is known. */
  readonly user: string;
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly bytes: number;
  readonly durationMs: number;
}

export interface AccessLog {
  write(record: AccessRecord): void;
}

const targetLengthMax = 1024;
const secretNames = new Set(['password', 'tfa-challenge', 'ticket', 'secret', 'new-password']);

/** Path and query; of what may be secret only the name. */
export function loggedTarget(target: string): string {
  const text = target.slice(0, targetLengthMax);
  const mark = text.indexOf('?');
  if (mark === -1) return text;
  const pairs = text.slice(mark + 1).split('&').map((pair) => {
    const name = pair.split('=', 1)[0] ?? '';
    return isSecret(name) ? `${name}=***` : pair;
  });
  return `${text.slice(0, mark)}?${pairs.join('&')}`;
}

function isSecret(name: string): boolean {
  return [...new URLSearchParams(name).keys()].some((decoded) => secretNames.has(decoded.toLowerCase()));
}
