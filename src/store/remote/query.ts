/** Format: protocol, section 5.1. Parameters as they travel: the names in order. */
import { writeJson, type JsonValue } from '../../format/json.js';
import type { Parameters } from './server-api.js';

type Value = string | number | boolean | readonly (string | number)[];

function sorted(parameters: Parameters): [string, Value][] {
  const given = Object.entries(parameters).filter((entry): entry is [string, Value] => entry[1] !== undefined);
  return given.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `?backup-id=elsa&store=store1`; empty without parameters. */
export function queryText(parameters: Parameters): string {
  const query = new URLSearchParams();
  for (const [name, value] of sorted(parameters)) {
    for (const each of typeof value === 'object' ? value : [value]) query.append(name, String(each));
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

export function jsonBody(parameters: Parameters): Buffer {
  return Buffer.from(writeJson(Object.fromEntries<JsonValue>(sorted(parameters))));
}
