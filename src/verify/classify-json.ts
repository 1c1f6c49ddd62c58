import { decimalText } from './classify-number.ts';

/** A JSON value whose numbers are exact: a text `n:…`, and texts are `s:…`. */
type Exact = string | boolean | null | readonly Exact[] | { readonly [name: string]: Exact };

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** The value of a JSON object or array; undefined for other texts. Of doubled keys the last one counts. */
function parseExact(text: string): Exact | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    // Once as it is: the texts put in for numbers must not make JSON of what is none.
    JSON.parse(text);
    const exact = text.replace(TOKEN, (token) =>
      token.startsWith('"') ? `"s:${token.slice(1)}` : `"n:${decimalText(token) ?? token}"`,
    );
    return JSON.parse(exact) as Exact;
  } catch {
    return undefined;
  }
}

const isList = (value: Exact): value is readonly Exact[] => Array.isArray(value);
const isObject = (value: Exact): value is { readonly [name: string]: Exact } =>
  typeof value === 'object' && value !== null && !isList(value);

/** Two texts inside two JSON values that differ; `null`: the values have other shapes. */
export type JsonDifference = readonly (readonly [expected: string, actual: string])[] | null;

/**
 * How two JSON objects or arrays differ: [] when they mean the same (order of keys, white space, spelling of numbers and escapes, doubled keys do not
 * count), the pairs of texts that differ where everything else is alike, or null; undefined when one is no JSON object or array.
 */
export function jsonDifference(a: string, b: string): JsonDifference | undefined {
  const [one, other] = [parseExact(a), parseExact(b)];
  if (one === undefined || other === undefined) return undefined;
  const found: (readonly [string, string])[] = [];
  return walk(one, other, found) ? found : null;
}

function walk(a: Exact, b: Exact, found: (readonly [string, string])[]): boolean {
  if (typeof a === 'string' && typeof b === 'string') {
    if (a !== b) found.push([a.slice(2), b.slice(2)]);
    return a === b || a.slice(0, 2) === b.slice(0, 2);
  }
  if (isList(a) && isList(b))
    return a.length === b.length && a.every((one, index) => walk(one, b[index] as Exact, found));
  if (isObject(a) && isObject(b)) {
    const [names, others] = [Object.keys(a).sort(), Object.keys(b).sort()];
    return (
      names.length === others.length &&
      names.every(
        (name, index) => name === others[index] && walk(a[name] as Exact, b[name] as Exact, found),
      )
    );
  }
  return a === b;
}
