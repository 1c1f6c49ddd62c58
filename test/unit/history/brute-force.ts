import type {
  Operation,
  ReadOperation,
  WriteOperation,
} from '../../../src/testing/history/index.ts';

/** The same question as `checkHistory` for one key, by trying every order; written apart from it. At most about seven operations. */
export function hasOrder(initial: string | null, operations: readonly Operation[]): boolean {
  const left = operations.filter((one) => one.kind === 'read' || one.outcome !== 'failed');
  return extend(initial, [], left);
}

function extend(
  value: string | null,
  placed: readonly Operation[],
  left: readonly Operation[],
): boolean {
  if (left.every((one) => one.kind === 'write' && one.outcome === 'unknown')) return true;
  return left.some((one) => {
    const others = left.filter((other) => other !== one);
    // Somebody who had to be over before this one begins comes first. Who need not happen never has to.
    if (others.some((other) => other.to < earliest(one, placed, left))) return false;
    if (one.kind === 'write') return extend(one.value, [...placed, one], others);
    if (one.value !== value) return false;
    const token = one.route === 'any' && one.token !== null;
    if (token && !placed.some(({ id }) => id === one.token)) return false;
    return extend(value, [...placed, one], others);
  });
}

function earliest(
  one: Operation,
  placed: readonly Operation[],
  left: readonly Operation[],
): number {
  if (one.kind === 'write' || one.route === 'authority') return one.from;
  if (one.token === null) return Number.NEGATIVE_INFINITY;
  return writeOf(one, [...placed, ...left]).from;
}

const writeOf = ({ token }: ReadOperation, operations: readonly Operation[]): WriteOperation =>
  operations.find((one): one is WriteOperation => one.kind === 'write' && one.id === token)!;
