/**
 * Whether parsed JSON has the form of a manifest. Every command reads some, and loading zod takes longer than all the rest of a
 * short one (docs/performance.md).
 */
import { FormatError } from '../errors.js';
import type { JsonObject, JsonValue } from './json.js';

/** Gives the value as what it is; BAD_STRUCTURE, with the path of the member, if it is something else. */
export type Shape<T> = (value: unknown, path: string) => T;

export const text: Shape<string> = (value, path) => (typeof value === 'string' ? value : refuse(path, 'a text'));

/** Between -(2^53-1) and 2^53-1. */
export const integer: Shape<number> = (value, path) => (Number.isSafeInteger(value) ? (value as number) : refuse(path, 'an integer'));

/** Members that nothing is known of are kept; not `__proto__`, which is no data of anybody's. */
export const members: Shape<JsonObject> = (value, path) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(path, 'an object');
  if (!Object.hasOwn(value, '__proto__')) return value as JsonObject;
  return Object.fromEntries<JsonValue>(Object.entries(value as JsonObject).filter(([name]) => name !== '__proto__'));
};

/** 0 to 2^53-1. */
export const count: Shape<number> = (value, path) => {
  const number = integer(value, path);
  return number >= 0 ? number : refuse(path, 'a number of at least 0');
};

export function textLike(fits: (value: string) => boolean, what: string): Shape<string> {
  return (value, path) => (typeof value === 'string' && fits(value) ? value : refuse(path, what));
}

export function oneOf<const T extends string>(...texts: readonly T[]): Shape<T> {
  return (value, path) => texts.find((each) => each === value) ?? refuse(path, `one of ${texts.join(', ')}`);
}

export function listOf<T>(shape: Shape<T>): Shape<T[]> {
  return (value, path) => (Array.isArray(value) ? value.map((item, i) => shape(item, `${path}.${i}`)) : refuse(path, 'a list'));
}

/** Undefined for what is missing or null. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return (value, path) => (value === undefined || value === null ? undefined : shape(value, path));
}

function refuse(path: string, wanted: string): never {
  throw new FormatError('BAD_STRUCTURE', `${path} is not ${wanted}`);
}
