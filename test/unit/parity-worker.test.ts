import { describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import type { ParitySetting } from '../../src/migration/index.ts';
import { type Clock, seededRandom } from '../../src/runtime/index.ts';
import { createParityWorker, type ParityOptions, parityPace } from '../../src/verify/index.ts';
import { never, sabotage, type VerifyFixture, verifyFixtures } from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();

const sweep: ParitySetting = {
  mode: 'sweep',
  share: 1,
  periodMinutes: 1,
  recordsPerSecondMax: 50,
};
const sample: ParitySetting = { ...sweep, mode: 'sample', share: 0.5, recordsPerSecondMax: 40 };

/** A clock that stands until it is moved; sleeps pass at once. */
function movedClock(): Clock & { at: number } {
  const clock = {
    at: 1_000_000,
    now: () => clock.at,
    monotonic: () => clock.at,
    async sleep(ms: number) {
      clock.at += ms;
    },
    schedule: () => () => {},
    yield: async () => {},
  };
  return clock;
}

/** The context as another process sees it, with a clock of the test's. */
function process(fixture: VerifyFixture, clock: Clock, instance = 'worker-1'): MigrationContext {
  return { ...fixture.context, instance, runtime: { clock, random: seededRandom(5) } };
}

const start = (
  fixture: VerifyFixture,
  context: MigrationContext,
  setting: ParitySetting,
  options: Partial<ParityOptions> = {},
) =>
  createParityWorker(context, 'items', setting, { currentState: fixture.state, ...options }, never);

const suspectsOf = async ({ context }: VerifyFixture): Promise<readonly string[]> => {
  const lines = await context.control.mismatches.list('fixture', { status: 'suspect', limit: 99 });
  return lines.map(({ key, detector }) => `${detector} ${key}`).sort();
};
const allFour = ['["000042"]', '["0001005"]', '["000101"]', '["999999"]'].map(
  (key) => `parity ${key}`,
);

describe('a sweep', () => {
  test('meets everything of both stores, extras in the middle and beyond the end included', async () => {
    const fixture = await fixtureWith(300);
    await sabotage(fixture);
    const clock = movedClock();
    const worker = start(fixture, process(fixture, clock), sweep);
    let compared = 0;
    for (let turn = 0; turn < 200 && compared < 302; turn++)
      compared += (await worker.turn()).compared;
    expect(await suspectsOf(fixture)).toEqual(allFour);
    const [evidence] = await fixture.context.control.evidence.since('fixture', 0);
    expect(evidence).toMatchObject({ detector: 'parity', compared: 302, matched: 298, suspect: 4 });
    const [note] = await fixture.context.control.history('fixture', 1);
    expect(note).toMatchObject({
      action: 'parity-sweep',
      detail: { collection: 'items', counts: { compared: 302, suspects: 4 } },
    });
  });

  test('begins the next round when the clock was set back', async () => {
    const fixture = await fixtureWith(50);
    const clock = movedClock();
    const worker = start(fixture, process(fixture, clock), sweep);
    while ((await worker.turn()).compared > 0);
    clock.at -= 500_000;
    expect((await worker.turn()).compared).toBeGreaterThan(0);
  });

  test('goes on where a process that died has come to, and begins the next round when its period is over', async () => {
    const fixture = await fixtureWith(300);
    const clock = movedClock();
    const first = start(fixture, process(fixture, clock), sweep);
    for (let turn = 0; turn < 5; turn++) await first.turn();
    const before = await fixture.context.control.memos.read('fixture', 'parity-sweep items');
    const second = start(fixture, process(fixture, clock, 'worker-2'), sweep);
    const { compared } = await second.turn();
    expect(compared).toBeGreaterThan(0);
    const after = await fixture.context.control.memos.read('fixture', 'parity-sweep items');
    expect(after?.body).toMatchObject({
      compared: Number(before?.body['compared']) + compared,
      startedAtMs: before?.body['startedAtMs'],
    });
    while ((await second.turn()).compared > 0);
    // The round is finished: nothing until the period is over, then from the beginning.
    expect((await second.turn()).compared).toBe(0);
    clock.at += 60_000;
    expect((await second.turn()).compared).toBeGreaterThan(0);
  });

  test('is not behind what it found: a place is kept only when its suspects are', async () => {
    const fixture = await fixtureWith(40);
    await fixture.foreign.target.delete(['000001']);
    const { context } = fixture;
    const mismatches = {
      ...context.control.mismatches,
      record: async () => {
        throw new Error('the control store is gone');
      },
    };
    const broken = {
      ...process(fixture, movedClock()),
      control: { ...context.control, mismatches },
    };
    await expect(start(fixture, broken, sweep).turn()).rejects.toThrow('gone');
    expect(await context.control.memos.read('fixture', 'parity-sweep items')).toBeNull();
    const counted = await context.control.evidence.since('fixture', 0);
    expect(counted[0]).toMatchObject({ compared: 0, failed: expect.any(Number) });
  });
});

describe('a sample', () => {
  test('finds what is missing, different or extra, by its share', async () => {
    const fixture = await fixtureWith(300);
    await sabotage(fixture);
    const worker = start(fixture, process(fixture, movedClock()), sample);
    for (let turn = 0; turn < 400; turn++) await worker.turn();
    expect(await suspectsOf(fixture)).toEqual(allFour);
    const [evidence] = await fixture.context.control.evidence.since('fixture', 0);
    // 4 of 302 keys of either store differ.
    const ratio = (evidence?.suspect ?? 0) / (evidence?.compared ?? 1);
    expect(ratio).toBeGreaterThan(0.5 * (4 / 302));
    expect(ratio).toBeLessThan(2 * (4 / 302));
  });

  test('finds extras also when the authority is empty', async () => {
    const fixture = await fixtureWith(0);
    await fixture.foreign.target.put(['1'], { id: '1', name: 'extra' });
    const worker = start(fixture, process(fixture, movedClock()), sample);
    for (let turn = 0; turn < 5; turn++) await worker.turn();
    expect(await suspectsOf(fixture)).toEqual(['parity ["1"]']);
  });
});

describe('the pace', () => {
  test('is what was asked for: a share of the records in each period, never above the limit', async () => {
    const daily = { ...sample, share: 0.01, periodMinutes: 1_440, recordsPerSecondMax: 500 };
    const perDay = (setting: ParitySetting, records: number): number => {
      const { records: turn, everyMs } = parityPace(setting, records);
      return (turn * 86_400_000) / everyMs;
    };
    expect(perDay(daily, 1_000_000)).toBeCloseTo(10_000, 5);
    expect(perDay({ ...daily, mode: 'sweep' }, 1_000_000)).toBeCloseTo(1_000_000, 3);
    expect(perDay({ ...daily, mode: 'sweep' }, 1e9)).toBeCloseTo(500 * 86_400, 3);
    expect(parityPace({ ...daily, share: 0 }, 1_000).everyMs).toBe(Infinity);
  });

  test('is kept over a whole round, by a clock that is moved from turn to turn', async () => {
    const fixture = await fixtureWith(300);
    const clock = movedClock();
    const worker = start(fixture, process(fixture, clock), { ...sweep, recordsPerSecondMax: 3 });
    const begun = clock.at;
    for (let compared = 0; compared < 300; ) {
      const turn = await worker.turn();
      compared += turn.compared;
      clock.at += turn.everyMs;
    }
    const seconds = (clock.at - begun) / 1_000;
    expect(300 / seconds).toBeLessThanOrEqual(3.05);
    expect(300 / seconds).toBeGreaterThan(2.9);
  });

  test('is nothing at all while a throttle holds the work', async () => {
    const fixture = await fixtureWith(300);
    const held = { pace: async () => false };
    for (const setting of [sweep, sample]) {
      const worker = start(fixture, process(fixture, movedClock()), setting, held);
      expect(await worker.turn()).toMatchObject({ compared: 0 });
    }
    expect(await fixture.context.control.evidence.since('fixture', 0)).toEqual([]);
  });
});

test('a worker ends with the authority that it compared with', async () => {
  const fixture = await fixtureWith(10);
  const worker = start(fixture, process(fixture, movedClock()), sweep);
  expect(worker.isOpen).toBe(true);
  await fixture.setState({ phase: 'write-switch', epoch: 2 });
  expect(worker.isOpen).toBe(false);
});
