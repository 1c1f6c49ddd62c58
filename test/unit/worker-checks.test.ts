import { afterEach, describe, expect, test } from 'vitest';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { itemsCollection } from '../support/engine-fixture.ts';
import { sabotage, type VerifyFixture, verifyFixtures } from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();
const workers: Worker[] = [];
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.close();
});

const start = async (fixture: VerifyFixture, errors: string[] = []): Promise<void> => {
  const onError = (task: string, message: string) => errors.push(`${task}: ${message}`);
  workers.push(await startWorker(fixture.context, { recheckMs: 20, onError }));
};

const swept = itemsCollection({
  parity: { mode: 'sweep', share: 1, periodMinutes: 0.01, recordsPerSecondMax: 100_000 },
});

async function until(what: () => Promise<boolean>, ms = 9_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await what())) {
    if (performance.now() > end) throw new Error('it did not come about in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('a worker', () => {
  test('finds by a sweep what nobody reads, and the recheck opens what differs for good', async () => {
    const fixture = await fixtureWith(60, swept);
    await sabotage(fixture);
    await fixture.foreign.target.put(['000033'], { id: '000033', name: 'wrong' });
    const errors: string[] = [];
    await start(fixture, errors);
    const { mismatches, evidence } = fixture.context.control;
    await until(async () => (await mismatches.count('fixture', 'open')) >= 4);
    const lines = await mismatches.list('fixture', { status: 'open', limit: 9 });
    expect(new Set(lines.map(({ detector }) => detector))).toEqual(new Set(['parity']));
    const confirmed = (await evidence.since('fixture', 0)).reduce(
      (sum, row) => sum + row.confirmed,
      0,
    );
    expect(confirmed).toBe(lines.length);
    expect(errors).toEqual([]);
  });

  test('compares nothing before the copy is finished', async () => {
    const fixture = await fixtureWith(30, swept);
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
    await fixture.setState({ phase: 'backfill' });
    workers.push(await startWorker(fixture.context, { recheckMs: 20, backfill: null }));
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(await fixture.context.control.evidence.since('fixture', 0)).toEqual([]);
  });

  test('leaves the sweep to another one while that one has it', async () => {
    const fixture = await fixtureWith(60, swept);
    const { memos } = fixture.context.control;
    const body = { holder: 'another', untilMs: Date.now() + 30_000 };
    await memos.write('fixture', 'lease parity', body, 0);
    await start(fixture);
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(await memos.read('fixture', 'parity-sweep items')).toBeNull();
  });
});
