import { types } from 'node:util';

/** Beyond either, a value is no ordinary answer (a ring, an object with its whole world behind it) and `structuredClone` decides. */
const depthMax = 32;
const objectsMax = 20_000;

/** Left of `objectsMax` in the copy under way; copying is synchronous. */
let objectsLeft = 0;

/**
 * A copy that does not change when the caller changes what it was given. Plain objects and arrays are walked by hand (45 ns for a row of six
 * columns; `structuredClone` takes 1.3 µs), buffers stay buffers, instances of classes keep their class and share their functions. Throws for
 * what cannot be copied.
 */
export function snapshot<T>(value: T): T {
  objectsLeft = objectsMax;
  try {
    return copy(value, 0) as T;
  } catch (error) {
    if (error instanceof TooLarge) return structuredClone(value);
    throw error;
  }
}

class TooLarge extends Error {}

function copy(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > depthMax || objectsLeft-- <= 0) throw new TooLarge();
  if (Array.isArray(value)) {
    const items = new Array<unknown>(value.length);
    for (let at = 0; at < value.length; at++) items[at] = copy(value[at], depth + 1);
    return items;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) return copyFields({ ...value }, depth);
  if (value instanceof Date) return new Date(value.getTime());
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  if (hasInnerState(value)) return structuredClone(value);
  return copyFields(Object.assign(Object.create(prototype as object | null), value), depth);
}

/** Copies what the fields of a fresh object refer to. Fields that hold texts and numbers are left alone, which is most of them. */
function copyFields(fresh: object, depth: number): object {
  const fields = fresh as Record<string, unknown>;
  for (const name in fields) {
    const value = fields[name];
    if (typeof value === 'object' && value !== null && Object.hasOwn(fields, name))
      fields[name] = copy(value, depth + 1);
  }
  return fields;
}

/** What own properties do not show. */
function hasInnerState(value: object): boolean {
  return (
    types.isMap(value) ||
    types.isSet(value) ||
    ArrayBuffer.isView(value) ||
    types.isAnyArrayBuffer(value) ||
    types.isBoxedPrimitive(value) ||
    types.isRegExp(value) ||
    types.isNativeError(value) ||
    types.isPromise(value) ||
    types.isProxy(value) ||
    types.isWeakMap(value) ||
    types.isWeakSet(value) ||
    types.isGeneratorObject(value)
  );
}
