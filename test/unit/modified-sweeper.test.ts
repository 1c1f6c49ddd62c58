import { describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import type { ModifiedSetting } from '../../src/migration/index.ts';
import type { ModifiedHorizon } from '../../src/store/index.ts';
import { createModifiedSweeper } from '../../src/verify/index.ts';
import { itemsCollection } from '../support/engine-fixture.ts';
import { never, type VerifyFixture, verifyFixtures } from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();
const setting: ModifiedSetting = {
  source: 'updated_at',
  target: null,
  everySeconds: 60,
  overlapSeconds: 10,
};
const noon = Date.parse('2026-01-01T12:00:00Z');
const at = (seconds: number): string => new Date(noon + seconds * 1_000).toISOString();

/** Records changed at one second each, the same on both sides; a clock that stands until it is moved. */
async function swept(records: number) {
  const fixture = await fixtureWith(0, itemsCollection({ modified: setting }));
  const clock = { ...fixture.context.runtime.clock, at: noon, now: () => clock.at };
  const context: MigrationContext = {
    ...fixture.context,
    runtime: { ...fixture.context.runtime, clock },
  };
  const put = async (side: 'source' | 'target', id: string, name: string, seconds: number) =>
    fixture.foreign[side].put([id], { id, name, updated_at: at(seconds) });
  for (let index = 0; index < records; index++)
    for (const side of ['source', 'target'] as const) await put(side, `k${index}`, 'same', index);
  return { fixture, clock, context, put };
}

const sweeperOf = (fixture: VerifyFixture, context: MigrationContext) =>
  createModifiedSweeper(context, 'items', setting, { currentState: fixture.state }, never);

const suspects = async ({ context }: VerifyFixture): Promise<readonly string[]> =>
  (await context.control.mismatches.list('fixture', { limit: 99 }))
    .map(({ detector, key }) => `${detector} ${key}`)
    .sort();

describe('the sweeper', () => {
  test('sets its mark first, and compares then what was changed since, with the overlap', async () => {
    const { fixture, clock, context, put } = await swept(50);
    const sweeper = sweeperOf(fixture, context);
    expect(await sweeper.turn()).toMatchObject({ compared: 0 });
    clock.at += 60_000;
    await put('source', 'k3', 'changed', 55);
    await put('source', 'new', 'missing', 56);
    // From second 49 back by 10 s and one: k38 to k49, and the two.
    expect(await sweeper.turn()).toEqual({ compared: 14, suspects: 2 });
    expect(await suspects(fixture)).toEqual(['modified ["k3"]', 'modified ["new"]']);
    expect(await sweeper.turn()).toMatchObject({ compared: 0 });
    const [note] = await fixture.context.control.history('fixture', 1);
    expect(note).toMatchObject({ action: 'modified-sweep', detail: { counts: { suspects: 2 } } });
  });

  test('sweeps when the clock was set back', async () => {
    const { fixture, clock, context } = await swept(50);
    const sweeper = sweeperOf(fixture, context);
    clock.at += 86_400_000;
    await sweeper.turn();
    clock.at -= 86_340_000;
    expect(await sweeper.turn()).toMatchObject({ compared: 12 });
  });

  test('goes back by the age of the oldest transaction that was open at its mark', async () => {
    const { fixture, clock, context, put } = await swept(50);
    const { source } = context.stores;
    const rows = source.modified!;
    let openMs: number | null = 30_000;
    const modified = {
      ...rows,
      horizon: async (...given: Parameters<typeof rows.horizon>): Promise<ModifiedHorizon> => ({
        ...(await rows.horizon(...given)),
        openMs,
      }),
    };
    const stores = { ...context.stores, source: { ...source, modified } };
    const sweeper = sweeperOf(fixture, { ...context, stores });
    await sweeper.turn();
    openMs = 0;
    // It had begun at second 20 and commits behind the mark, which stands at 49.
    await put('source', 'late', 'committed late', 20);
    clock.at += 60_000;
    await sweeper.turn();
    expect(await suspects(fixture)).toEqual(['modified ["late"]']);
  });

  test('goes on in another process where the last one was, in the middle of a sweep', async () => {
    const { fixture, clock, context, put } = await swept(1);
    await sweeperOf(fixture, context).turn();
    for (let index = 0; index < 250; index++) {
      const id = `n${String(index).padStart(3, '0')}`;
      await put('source', id, 'x', 1);
      await put('target', id, 'x', 1);
    }
    clock.at += 60_000;
    expect((await sweeperOf(fixture, context).turn()).compared).toBe(200);
    const second = sweeperOf(fixture, context);
    expect((await second.turn()).compared).toBe(51);
    expect((await second.turn()).compared).toBe(0);
  });

  test('is not led astray by a time that lies in the future', async () => {
    const { fixture, clock, context, put } = await swept(5);
    await put('source', 'odd', 'x', 1e10);
    await put('target', 'odd', 'x', 1e10);
    const sweeper = sweeperOf(fixture, context);
    await sweeper.turn();
    clock.at += 60_000;
    await put('source', 'k1', 'changed', 30);
    await sweeper.turn();
    expect(await suspects(fixture)).toEqual(['modified ["k1"]']);
  });

  test('cannot see a delete: its description says so, and the parity worker is for that', async () => {
    const { fixture, clock, context } = await swept(5);
    const sweeper = sweeperOf(fixture, context);
    await sweeper.turn();
    await fixture.foreign.source.delete(['k4']);
    clock.at += 60_000;
    await sweeper.turn();
    expect(await suspects(fixture)).toEqual([]);
  });

  test('is refused where no column is named', async () => {
    const { fixture, context } = await swept(1);
    await fixture.setState({ phase: 'write-switch', epoch: 2 });
    expect(() => sweeperOf(fixture, context)).toThrow(/no column is named/);
  });
});
