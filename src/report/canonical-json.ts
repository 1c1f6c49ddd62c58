import { createHash } from 'node:crypto';
import { ChangeoverError } from '../errors/index.ts';

/** What a report is made of. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/**
 * The one text of a JSON value: keys in the order of their UTF-16 code units, no white space, numbers as ECMAScript writes them (RFC 8785). Equal values have
 * equal texts, whoever wrote them. VALUE_INVALID for numbers that JSON does not have.
 */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map((one) => canonicalJson(one)).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([key, one]) => `${JSON.stringify(key)}:${canonicalJson(one)}`).join(',')}}`;
  }
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new ChangeoverError('VALUE_INVALID', `JSON has no ${value}.`);
  return JSON.stringify(value);
}

/** SHA-256 of a text in UTF-8, in hexadecimal digits. */
export const sha256 = (text: string): string =>
  createHash('sha256').update(text, 'utf8').digest('hex');

/**
 * What was gathered, as JSON: what cannot be said in it becomes text (bigint, Infinity) or goes (functions, undefined); maps become objects, sorted keys come
 * with `canonicalJson`. Deeper than 12 levels is cut off.
 */
export function asJson(value: unknown, depth = 0): Json {
  if (value === null || value === undefined || depth > 12) return null;
  switch (typeof value) {
    case 'string':
      return wellFormed(value);
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'bigint':
      return String(value);
    case 'object':
      break;
    default:
      return null;
  }
  if (Array.isArray(value)) return value.map((one) => asJson(one, depth + 1));
  if (value instanceof Date) return value.toISOString();
  const object = value instanceof Map ? Object.fromEntries(value) : value;
  return Object.fromEntries(
    Object.entries(object)
      .filter(([, one]) => one !== undefined && typeof one !== 'function')
      .map(([key, one]) => [wellFormed(key), asJson(one, depth + 1)]),
  );
}

/** Halves of surrogate pairs do not survive UTF-8; the digest would not be that of the file. */
const wellFormed = (text: string): string =>
  text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd');
