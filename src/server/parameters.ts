/** Parameters of a call: what came in path, query, form or JSON body becomes the values that an endpoint asks for. Format: protocol, section 5.1. */
import { messageOf } from '../errors.js';
import { parseJson } from '../format/json.js';
import type { ParameterSpec, ParameterSpecs, ParameterValues } from './endpoint.js';
import { Refusal } from './refusal.js';

/** Of bodies that hold parameters. */
export const parameterBytesMax = 512 * 1024;
const parameterCountMax = 4096;
const faultsShownMax = 20;

/** As it arrived: texts (several if the name was repeated), or a value of JSON. */
export type RawParameter = { readonly texts: readonly string[] } | { readonly json: unknown };
export type RawParameters = ReadonlyMap<string, RawParameter>;

const truths = new Map([...['1', 'on', 'yes', 'true'].map((word) => [word, true] as const), ...['0', 'off', 'no', 'false'].map((word) => [word, false] as const)]);
/** Browsers' cache breaker. */
const ignoredNames = new Set(['_dc']);

/** A query without its `?`, or the body of a form. 400 for too many. */
export function formParameters(...texts: readonly string[]): RawParameters {
  const found = new Map<string, { texts: string[] }>();
  let count = 0;
  for (const [name, value] of texts.flatMap((text) => [...new URLSearchParams(text)])) {
    if (ignoredNames.has(name)) continue;
    if (++count > parameterCountMax) throw new Refusal(400, `more than ${parameterCountMax} parameters`);
    const entry = found.get(name);
    if (entry === undefined) found.set(name, { texts: [value] });
    else entry.texts.push(value);
  }
  return found;
}

/** The members of a JSON object; none for an empty body. 400 for anything else. */
export function jsonParameters(body: Buffer): RawParameters {
  if (body.length === 0) return new Map();
  const value = parseBody(body);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Refusal(400, 'the body is no JSON object');
  return new Map(Object.entries(value).map(([name, json]: [string, unknown]) => [name, { json }]));
}

function parseBody(body: Buffer): unknown {
  try {
    return parseJson(body, 'the body', parameterBytesMax);
  } catch (cause) {
    throw new Refusal(400, messageOf(cause), { cause });
  }
}

/** 400, with a line for every fault, unless `raw` and the components of the path are exactly what is asked for. */
export function checkParameters<S extends ParameterSpecs>(specs: S, raw: RawParameters, path: ReadonlyMap<string, string> = new Map()): ParameterValues<S> {
  const faults: string[] = [];
  for (const name of raw.keys()) {
    if (!Object.hasOwn(specs, name)) faults.push(`'${printable(name)}': there is no such parameter`);
    else if (path.has(name)) faults.push(`'${name}': given twice, the path has it, too`);
  }
  const values = Object.entries(specs).map(([name, spec]) => {
    const inPath = path.get(name);
    const given = inPath === undefined ? raw.get(name) : { texts: [inPath] };
    return [name, valueOf(spec, given, (reason) => faults.push(`'${name}': ${reason}`))];
  });
  if (faults.length > 0) throw new Refusal(400, faultText(faults));
  return Object.fromEntries(values) as ParameterValues<S>;
}

function faultText(faults: readonly string[]): string {
  if (faults.length === 1) return `parameter check failed - ${faults[0]}`;
  return ['parameter check failed:', ...faults.slice(0, faultsShownMax).map((fault) => `  ${fault}`)].join('\n');
}

function valueOf(spec: ParameterSpec, given: RawParameter | undefined, fault: (reason: string) => void): unknown {
  if (given === undefined) {
    if (spec.optional !== true) fault('is missing');
    return undefined;
  }
  const result = 'json' in given ? fromJson(spec, given.json) : fromTexts(spec, given.texts);
  if ('fault' in result) fault(result.fault);
  return 'value' in result ? result.value : undefined;
}

type Result = { readonly value: unknown } | { readonly fault: string };

function fromTexts(spec: ParameterSpec, texts: readonly string[]): Result {
  switch (spec.kind) {
    case 'strings':
      return checkList(texts, spec.countMax, (text) => checkString(text, spec.check));
    case 'integers':
      return checkList(texts.map(integerOf), spec.countMax, (number) => checkInteger(number, {}));
    default:
  }
  const [text = '', second] = texts;
  if (second !== undefined) return { fault: 'given more than once' };
  if (spec.kind === 'string') return checkString(text, spec.check);
  if (spec.kind === 'integer') return checkInteger(integerOf(text), spec);
  const truth = truths.get(text.toLowerCase());
  return truth === undefined ? { fault: 'is no boolean like true or false' } : { value: truth };
}

function fromJson(spec: ParameterSpec, json: unknown): Result {
  switch (spec.kind) {
    case 'string':
      return checkString(json, spec.check);
    case 'integer':
      return checkInteger(json, spec);
    case 'boolean':
      return typeof json === 'boolean' ? { value: json } : { fault: 'is no boolean' };
    case 'strings':
      return checkList(json, spec.countMax, (item) => checkString(item, spec.check));
    case 'integers':
      return checkList(json, spec.countMax, (item) => checkInteger(item, {}));
  }
}

function checkString(value: unknown, check: ((value: string) => string | undefined) | undefined): Result {
  if (typeof value !== 'string') return { fault: 'is no text' };
  if (!value.isWellFormed()) return { fault: 'is no well-formed text: it has half a character in it (a lone surrogate)' };
  const fault = check?.(value);
  return fault === undefined ? { value } : { fault };
}

function integerOf(text: string): number {
  return /^[+-]?[0-9]{1,16}$/.test(text) ? Number(text) : NaN;
}

function checkInteger(value: unknown, { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER }: { min?: number; max?: number }): Result {
  if (!Number.isSafeInteger(value)) return { fault: 'is no integer' };
  const number = value as number;
  return number >= min && number <= max ? { value: number } : { fault: `is not between ${min} and ${max}` };
}

function checkList(items: unknown, countMax: number, check: (item: unknown) => Result): Result {
  if (!Array.isArray(items)) return { fault: 'is no list' };
  if (items.length > countMax) return { fault: `has more than ${countMax} members` };
  const results = items.map(check);
  return results.find((result) => 'fault' in result) ?? { value: results.map((result) => ('value' in result ? result.value : undefined)) };
}

function printable(name: string): string {
  return JSON.stringify(name.slice(0, 100)).slice(1, -1);
}
