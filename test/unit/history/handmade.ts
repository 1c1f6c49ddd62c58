import type {
  Operation,
  OperationHistory,
  ReadOperation,
  WriteOperation,
} from '../../../src/testing/history/index.ts';

type Made<T> = Partial<Omit<T, 'kind' | 'id' | 'value' | 'from' | 'to'>>;

/** Write `id` of the value `id`. */
export const write = (
  id: string,
  from: number,
  to: number,
  more: Made<WriteOperation> = {},
): WriteOperation => ({
  kind: 'write',
  id,
  key: 'k',
  value: id,
  process: 'p1',
  from,
  to,
  outcome: 'ok',
  epoch: 1,
  ...more,
});

export const erase = (
  id: string,
  from: number,
  to: number,
  more: Made<WriteOperation> = {},
): WriteOperation => ({ ...write(id, from, to, more), value: null });

/** Its caller does not know whether it happened. */
export const unknown = (
  id: string,
  from: number,
  more: Made<WriteOperation> = {},
): WriteOperation => write(id, from, Number.POSITIVE_INFINITY, { outcome: 'unknown', ...more });

/** Told to be not made. */
export const failed = (id: string, from: number, to: number): WriteOperation =>
  write(id, from, to, { outcome: 'failed' });

/** A read from the authority. */
export const read = (
  value: string | null,
  from: number,
  to: number,
  more: Made<ReadOperation> = {},
): ReadOperation => ({
  kind: 'read',
  id: `r${from}`,
  key: 'k',
  value,
  process: 'p2',
  from,
  to,
  token: null,
  route: 'authority',
  epoch: 1,
  ...more,
});

/** A read that may be served by the follower. */
export const dialled = (
  value: string | null,
  from: number,
  to: number,
  token: string | null = null,
): ReadOperation => read(value, from, to, { route: 'any', token });

/** `v0` was there before. */
export const history = (...operations: readonly Operation[]): OperationHistory => ({
  initial: new Map([['k', 'v0']]),
  operations,
});
