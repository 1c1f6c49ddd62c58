import { expect, test } from 'vitest';
import { ChangeoverError, dispositionOf, isChangeoverError } from '../../src/errors/index.ts';

test('errors of a second copy of the library are known by all that they are', async () => {
  // A configuration that a TypeScript loader imports gets modules of its own.
  const second = '../../src/errors/changeover-error.ts?second-copy';
  const copy = (await import(second)) as { readonly ChangeoverError: typeof ChangeoverError };
  expect(copy.ChangeoverError).not.toBe(ChangeoverError);
  const error: unknown = new copy.ChangeoverError('STORE_UNAVAILABLE', 'x');
  expect(error).toBeInstanceOf(ChangeoverError);
  expect(isChangeoverError(error, 'STORE_UNAVAILABLE')).toBe(true);
  expect(isChangeoverError(error, 'BUG')).toBe(false);
  expect(dispositionOf(error)).toBe('retry');
  for (const other of [new Error('x'), { name: 'ChangeoverError' }, null, undefined, 'x', 7]) {
    expect(isChangeoverError(other)).toBe(false);
  }
});
