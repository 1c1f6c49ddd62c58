import { describe, expect, test } from 'vitest';
import type { MigrationContext, Mismatch } from '../../src/control/index.ts';
import { mend, type VerifyFixture, verify, verifyFixtures } from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();
const far = 32_503_680_000_000;

const line = (key: string, status: 'suspect' | 'open', lastSeenMs: number): Mismatch => ({
  collection: 'items',
  key: JSON.stringify([key]),
  kind: 'different',
  status,
  detector: 'shadow-read',
  differences: [],
  firstSeenMs: 1,
  lastSeenMs,
  rechecks: 0,
  note: '',
});

/** The fixture with a ledger to which another process tells of a key just before it is told `call` of it. */
function overtaken(fixture: VerifyFixture, call: 'gone' | 'record', key: string) {
  const { context, state } = fixture;
  const { mismatches } = context.control;
  const tell = async (): Promise<void> => {
    await fixture.foreign.target.put([key], { id: key, name: 'wrong again' });
    await mismatches.record('fixture', [line(key, 'suspect', far)]);
  };
  const ledger = {
    ...mismatches,
    async [call](...given: never[]) {
      await tell();
      return (mismatches[call] as (...all: never[]) => Promise<unknown>)(...given);
    },
  } as typeof mismatches;
  const seen: MigrationContext = {
    ...context,
    control: { ...context.control, mismatches: ledger },
  };
  return { context: seen, state };
}

const unresolved = async ({ context }: VerifyFixture): Promise<readonly string[]> =>
  (await context.control.mismatches.list('fixture', { limit: 9 }))
    .filter(({ status }) => status !== 'repaired')
    .map(({ key, lastSeenMs }) => `${key} ${lastSeenMs}`);

describe('a suspicion of another process that comes up behind the look', () => {
  const key = '000003';
  const late = [`["${key}"] ${far}`];

  test('is not taken back by a verification that found the record equal', async () => {
    const fixture = await fixtureWith(5);
    const { mismatches } = fixture.context.control;
    await fixture.foreign.target.put([key], { id: key, name: 'wrong' });
    await mismatches.record('fixture', [line(key, 'open', 5)]);
    const seen = overtaken(fixture, 'gone', key);
    const verifying = verify(seen, { keys: [[key]], recheck: { delaysMs: [150] } });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await fixture.foreign.target.put([key], { id: key, name: 'name 3' });
    expect(await verifying).toMatchObject({ transient: 1 });
    expect(await unresolved(fixture)).toEqual(late);
  });

  test.each(['open', 'given'] as const)(
    'is not taken back by a repair of %s keys that found nothing to do',
    async (keys) => {
      const fixture = await fixtureWith(5);
      await fixture.context.control.mismatches.record('fixture', [line(key, 'open', 5)]);
      const { counts } = await mend(
        overtaken(fixture, 'gone', key),
        keys === 'open' ? 'open' : [[key]],
      );
      expect(counts).toMatchObject({ equal: 1 });
      expect(await unresolved(fixture)).toEqual(late);
    },
  );

  test('is not taken for repaired', async () => {
    const fixture = await fixtureWith(5);
    await fixture.foreign.target.put([key], { id: key, name: 'wrong' });
    await fixture.context.control.mismatches.record('fixture', [line(key, 'open', 5)]);
    const { counts } = await mend(overtaken(fixture, 'record', key), 'open');
    expect(counts).toMatchObject({ repaired: 1 });
    expect(await unresolved(fixture)).toEqual(late);
  });
});
