import { afterEach } from 'vitest';
import type { Collection } from '../../src/migration/index.ts';
import type { Key } from '../../src/record/index.ts';
import {
  type RepairOptions,
  type RepairReport,
  repair,
  type VerifyOptions,
  type VerifyReport,
  verifyCollection,
} from '../../src/verify/index.ts';
import { itemsCollection, memoryFixture, seed } from './engine-fixture.ts';

export type VerifyFixture = Awaited<ReturnType<typeof memoryFixture>>;
export type Opened = Pick<VerifyFixture, 'context' | 'state'>;
type Line = {
  readonly key: string;
  readonly kind: string;
  readonly differences: readonly unknown[];
};

export const never = new AbortController().signal;
export const quick = { delaysMs: [1, 5, 20], hotDelayMs: 5, lagMaxMs: 300 };

/** Fixtures in phase `shadow-read` with equal rows on both sides; closed after each test. Call it where hooks may be registered. */
export function verifyFixtures(): (
  rows: number,
  collection?: Collection,
  options?: Parameters<typeof memoryFixture>[1],
) => Promise<VerifyFixture> {
  const open: VerifyFixture[] = [];
  afterEach(async () => {
    for (const fixture of open.splice(0)) await fixture.close();
  });
  return async (rows, collection = itemsCollection(), options = {}) => {
    const fixture = await memoryFixture(collection, options);
    open.push(fixture);
    await fixture.setState({ phase: 'shadow-read' });
    await seed(fixture.foreign.source.put, rows);
    await seed(fixture.foreign.target.put, rows);
    return fixture;
  };
}

export function verify(
  { context, state }: Opened,
  options: Partial<VerifyOptions> = {},
  signal: AbortSignal = never,
): Promise<VerifyReport> {
  const given = { currentState: state, batchRows: 100, recheck: quick, ...options };
  return verifyCollection(context, 'items', given, signal);
}

export function mend(
  { context, state }: Opened,
  keys: readonly Key[] | 'open',
  options: Partial<RepairOptions> = {},
): Promise<RepairReport> {
  const given = {
    currentState: state,
    mode: 'apply' as const,
    ratePerSecond: 100_000,
    recheck: quick,
    ...options,
  };
  return repair(context, 'items', keys, given, never);
}

/** The open mismatches by key. */
export async function openOf({ context }: Opened): Promise<readonly Line[]> {
  const lines = await context.control.mismatches.list('fixture', { status: 'open', limit: 100 });
  return lines
    .map(({ key, kind, differences }) => ({ key, kind, differences }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** One missing, one different, one extra in the middle and one beyond the last key. */
export async function sabotage({ foreign }: VerifyFixture): Promise<void> {
  await foreign.target.delete(['000042']);
  await foreign.target.put(['000101'], { id: '000101', name: 'wrong' });
  await foreign.target.put(['0001005'], { id: '0001005', name: 'extra' });
  await foreign.target.put(['999999'], { id: '999999', name: 'tail' });
}
