/** Format: protocol, section 5.2. What an answer of a server means: data, or a refusal. */
import { StoreError, messageOf, type StoreErrorCode } from '../../errors.js';
import { parseJson, type JsonValue } from '../../format/json.js';
import { ServerRefusal } from './server-refusal.js';

export const answerBytesMax = 64 << 20;
const textLengthMax = 300;

const codes: Readonly<Record<number, StoreErrorCode>> = { 403: 'NO_PERMISSION', 404: 'NOT_FOUND' };
/** Of what stands between us and a server. */
const gatewayStatuses = new Set([502, 503, 504]);

export interface Answer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** Some servers give a failed login another status, section 16. */
export function isLoginFailure({ status, body }: Answer): boolean {
  return status === 401 || (status === 400 && lineOf(body) === 'authentication failed');
}

/** `what` begins the message: whom was asked for what. In a session nobody logs in: 401 is a refusal there. */
export function refusalOf(answer: Answer, what: string, context: 'call' | 'session' = 'call'): StoreError {
  const { status, body } = answer;
  const text = lineOf(body);
  if (status < 400) return new StoreError('PROTOCOL', `${what}: status ${status} is no answer of a Proxmox Backup Server`);
  if (gatewayStatuses.has(status)) return new StoreError('PROTOCOL', `${what}: a proxy in between answers with status ${status}, the server behind it may be down`);
  if (text.startsWith('<')) return new StoreError('PROTOCOL', `${what}: status ${status} with a page of HTML: is it a Proxmox Backup Server (usually port 8007)?`);
  const code = context === 'call' && isLoginFailure(answer) ? 'LOGIN_FAILED' : (codes[status] ?? 'REFUSED');
  return new ServerRefusal(status, text, code, `${what}: ${text === '' ? `refused with status ${status}` : text}`);
}

/** `data` of a successful answer. An empty one is null. PROTOCOL for what is no such answer. */
export function dataOf(body: Uint8Array, what: string): JsonValue {
  if (body.length === 0) return null;
  const text = lineOf(body.subarray(0, 64));
  if (text.startsWith('<')) throw new StoreError('PROTOCOL', `${what}: the answer is HTML, not JSON: is it a Proxmox Backup Server (usually port 8007)?`);
  const value = parseAnswer(body, what);
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, 'data')) {
    throw new StoreError('PROTOCOL', `${what}: the answer has no 'data'`);
  }
  return (value as { data: JsonValue }).data;
}

function parseAnswer(body: Uint8Array, what: string): unknown {
  try {
    return parseJson(body, 'the answer', answerBytesMax);
  } catch (cause) {
    throw new StoreError('PROTOCOL', `${what}: ${messageOf(cause)}`, { cause });
  }
}

/** Without control characters, which a terminal would obey. */
function lineOf(body: Uint8Array): string {
  const text = Buffer.from(body.buffer, body.byteOffset, Math.min(body.length, 4 * textLengthMax)).toString('utf8');
  const line = text.replace(/[\s\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return line.length > textLengthMax ? `${line.slice(0, textLengthMax)}...` : line;
}
