import { afterEach, describe, expect, test } from 'vitest';
import { systemRuntime } from '../../src/runtime/index.ts';
import { type AlignedRig, alignedRig, idOf, slowToSurface } from '../support/aligned-rig.ts';

const { clock } = systemRuntime;
const open: AlignedRig[] = [];
afterEach(async () => {
  for (const rig of open.splice(0)) await rig.close();
});
const rigOf = async (...given: Parameters<typeof alignedRig>): Promise<AlignedRig> => {
  const rig = await alignedRig(...given);
  open.push(rig);
  return rig;
};
const ids = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => idOf(from + index));

describe('a comparison at one position', () => {
  test('takes no lag for a difference, however much is written meanwhile', async () => {
    const rig = await rigOf(600);
    rig.lagMs = 60;
    rig.world.databases.source.hook = slowToSurface;
    const stop = rig.traffic(ids(1, 600));
    const report = await rig.verify();
    await stop();
    expect(report).toMatchObject({ outcome: 'passed', unresolved: 0 });
    expect(report.persistent).toEqual({ missing: 0, extra: 0, different: 0 });
    expect(report.proof).toMatchObject({ kind: 'aligned', because: null, overruled: 0 });
    // Only keys that are written all the time go to the rechecker.
    expect(report.suspects).toBe(report.proof.exclusions.hotKeys);
    expect(report.proof.segments).toBeGreaterThanOrEqual(3);
    expect(report.proof.records).toBeGreaterThan(400);
    expect(report.proof.sentence).toMatch(/^Position-aligned proof: \d+ records/);
  });

  test.each([
    [false, 'record by record'],
    [true, 'by digests'],
  ])(
    'finds what was changed behind the door, both ways, under traffic (%s: %s)',
    async (digests) => {
      const rig = await rigOf(400);
      rig.lagMs = 30;
      const stop = rig.traffic(ids(300, 400));
      await rig.rogue(idOf(42), null);
      await rig.rogue(idOf(101), 'wrong');
      await rig.rogue('0010155', 'extra');
      await rig.rogue('99999', 'tail');
      const report = await rig.verify({ aligned: { digests } });
      await stop();
      expect(report.outcome).toBe('failed');
      expect(report.persistent).toEqual({ missing: 1, extra: 2, different: 1 });
      expect(report.proof).toMatchObject({ kind: 'aligned', overruled: 0 });
      expect(report.proof.digested > 300).toBe(digests);
      expect(report.proof.records).toBeGreaterThan(300);
    },
  );

  test('knows records that the transform leaves out, and keys that come and go', async () => {
    const rig = await rigOf(200, {
      identity: false,
      forward: (record) => (String(record['name']).endsWith('7') ? null : record),
    });
    rig.lagMs = 40;
    const stop = rig.traffic(ids(1, 50));
    await rig.rogue(idOf(67), 'not wanted here');
    const report = await rig.verify();
    await stop();
    expect(report.persistent).toEqual({ missing: 0, extra: 1, different: 0 });
    expect(report.proof.overruled).toBe(0);
  });

  test('is not misled by a table that is emptied between its snapshots', async () => {
    const rig = await rigOf(300);
    rig.lagMs = 50;
    const verifying = rig.verify({ aligned: { segmentRows: 100 } });
    await rig.world.foreignTruncate('source');
    await rig.write(idOf(5), 'again');
    expect(await verifying).toMatchObject({ outcome: 'passed', proof: { overruled: 0 } });
  });

  test('has one digest for one content, and another for another', async () => {
    const rig = await rigOf(300);
    const first = await rig.verify();
    const second = await rig.verify();
    expect(first.proof.root).toMatch(/^[0-9a-f]{64}$/);
    expect(second.proof.root).toBe(first.proof.root);
    await rig.write(idOf(7), 'another');
    await rig.level();
    expect((await rig.verify()).proof.root).not.toBe(first.proof.root);
  });

  test('of keys, of a range and of a sample says what it has looked at', async () => {
    const rig = await rigOf(300);
    await rig.rogue(idOf(150), null);
    const keys = await rig.verify({ keys: [[idOf(150)], [idOf(151)], ['nobody']] });
    expect(keys).toMatchObject({ extent: 'keys', compared: 3, equal: 2 });
    expect(keys).toMatchObject({ persistent: { missing: 1 }, proof: { kind: 'aligned' } });
    const range = await rig.verify({ scope: { after: [idOf(100)], until: [idOf(149)] } });
    expect(range).toMatchObject({ extent: 'range', compared: 49, outcome: 'passed' });
    const sample = await rig.verify({ sample: 0.5 });
    expect(sample.extent).toBe('sample');
    expect(sample.compared).toBeLessThan(301);
  });
});

describe('without a common position', () => {
  test('a segment is compared by recheck, and the proof says so', async () => {
    const rig = await rigOf(100);
    rig.lagMs = Number.POSITIVE_INFINITY;
    await rig.write(idOf(1), 'on its way');
    const report = await rig.verify({
      aligned: { lagMs: 30 },
      recheck: { delaysMs: [1], lagMaxMs: 50, hotDelayMs: 5 },
    });
    expect(report.proof).toMatchObject({ kind: 'recheck', exclusions: { rangesTotal: 1 } });
    expect(report.proof.because).toContain('still behind the log after 30 ms');
    expect(report).toMatchObject({ outcome: 'failed', waiting: 1, compared: 100 });
  });

  test('a change of authority does not find snapshots in its way', async () => {
    const rig = await rigOf(300);
    const cutover = { attempt: 'one' } as unknown as NonNullable<typeof rig.state.cutover>;
    let pages = 0;
    let switching = true;
    const opened: boolean[] = [];
    const { snapshots } = rig.context.stores.source;
    if (!snapshots) throw new Error('Memory stores open snapshots.');
    const opening: typeof snapshots.open = (options) => {
      opened.push(switching);
      return snapshots.open(options);
    };
    Object.assign(rig.context.stores.source, { snapshots: { open: opening } });
    setTimeout(() => {
      switching = false;
    }, 150);
    const report = await rig.verify({
      currentState: () => ({ ...rig.state, cutover: switching ? cutover : null }),
      pace: async () => {
        pages += 1;
        if (pages === 1) switching = true;
        if (pages === 1) setTimeout(() => (switching = false), 150);
        return true;
      },
    });
    expect(report).toMatchObject({ outcome: 'passed', proof: { kind: 'aligned' } });
    // Two at least: the first one ended with the page during which the switch began.
    expect(opened.length).toBeGreaterThanOrEqual(3);
    expect(opened).not.toContain(true);
  });

  test('a collection that the application captures is proven by recheck', async () => {
    const rig = await rigOf(10);
    const { context } = rig;
    const [[, collection] = []] = context.migration.collections;
    if (!collection) throw new Error('There is one.');
    const app = new Map([['items', { ...collection, capture: 'app' as const }]]);
    Object.assign(context.migration, { collections: app });
    const report = await rig.verify();
    expect(report).toMatchObject({ outcome: 'passed', proof: { kind: 'recheck', root: null } });
    expect(report.proof.because).toBe('with capture "app" the two stores share no position');
  });
});

describe('a comparison that was stopped', () => {
  test('goes on behind its last segment, with all that it had found', async () => {
    const rig = await rigOf(500);
    await rig.rogue(idOf(3), null);
    await rig.rogue(idOf(499), null);
    const killed = new AbortController();
    let compared = 0;
    // The mismatch of the first segment is not decided when it ends.
    const first = await rig.verify(
      {
        aligned: { segmentRows: 100 },
        recheck: { delaysMs: [60_000] },
        pace: async (records) => {
          compared += records;
          if (compared > 250) killed.abort();
          return !killed.signal.aborted;
        },
      },
      killed.signal,
    );
    expect(first).toMatchObject({ outcome: 'stopped', compared: 200 });
    let again = 0;
    const second = await rig.verify({
      aligned: { segmentRows: 100 },
      pace: async (records) => {
        again += records;
        return true;
      },
    });
    expect(again).toBe(300);
    expect(second).toMatchObject({ outcome: 'failed', compared: 500, persistent: { missing: 2 } });
    expect(second.startedAtMs).toBe(first.startedAtMs);
    expect(second.proof).toMatchObject({ resumed: 1, segments: 6, records: 498 });
    expect((await rig.verify()).proof.resumed).toBe(0);
  });

  test('begins anew when it is too old or something else is compared', async () => {
    const rig = await rigOf(300);
    const stop = async (): Promise<void> => {
      const killed = new AbortController();
      let pages = 0;
      const pace = async (): Promise<boolean> => {
        pages += 1;
        return pages <= 3;
      };
      await rig.verify({ aligned: { segmentRows: 100 }, pace }, killed.signal);
    };
    await stop();
    expect((await rig.verify({ aligned: { resumeMs: 0 } })).proof.resumed).toBe(0);
    await stop();
    const [[, collection] = []] = rig.context.migration.collections;
    if (!collection) throw new Error('There is one.');
    const changed = new Map([['items', { ...collection, transformVersion: 2 }]]);
    Object.assign(rig.context.migration, { collections: changed });
    expect((await rig.verify()).proof.resumed).toBe(0);
  });
});

/** Runs `once` before the follower's next snapshot is opened. */
function beforeFollower(rig: AlignedRig, once: () => Promise<unknown>): void {
  const { snapshots } = rig.context.stores.target;
  if (!snapshots) throw new Error('Memory stores open snapshots.');
  let done = false;
  const opening: typeof snapshots.open = async (options) => {
    if (!done) {
      done = true;
      await once();
    }
    return snapshots.open(options);
  };
  Object.assign(rig.context.stores.target, { snapshots: { open: opening } });
}

/** A re-read has brought a change before its time, under the version of a mark before the place. */
async function readAhead(rig: AlignedRig): Promise<void> {
  const { source, target } = rig.context.stores;
  const place = await source.log?.end();
  rig.lagMs = 200;
  await rig.write(idOf(9), 'read ahead');
  const version = { epoch: rig.state.epoch, sequence: (place?.sequence ?? 0n) - 1n };
  const value = { id: idOf(9), name: 'read ahead' };
  const change = { collection: 'items', key: [idOf(9)], version, value, origin: 'log' as const };
  await target.door.apply([change], { epoch: rig.state.epoch, timeoutMs: 1_000 });
}

describe('each of these wrong ways loses', () => {
  test('a place that is asked for beside the snapshot', async () => {
    const overruled = async (sabotage: readonly 'place-beside'[]): Promise<number> => {
      const rig = await rigOf(100);
      rig.world.databases.source.hook = slowToSurface;
      const stop = rig.traffic(ids(1, 100));
      let sum = 0;
      for (let round = 0; round < 40 && sum === 0; round++) {
        await clock.sleep(systemRuntime.random.next() * 10);
        sum += (await rig.verify({ aligned: { sabotage } })).proof.overruled;
      }
      await stop();
      return sum;
    };
    expect(await overruled([])).toBe(0);
    expect(await overruled(['place-beside'])).toBeGreaterThan(0);
  });

  test('a follower that has not come to the place', async () => {
    const rig = await rigOf(100);
    rig.lagMs = 80;
    const stop = rig.traffic(ids(1, 100));
    const early = ['follower-too-early', 'read-ahead-trusted'] as const;
    const right = await rig.verify({ aligned: { sabotage: ['read-ahead-trusted'] } });
    const wrong = await rig.verify({ aligned: { sabotage: early } });
    await stop();
    expect(right.proof.overruled).toBe(0);
    expect(wrong.proof.overruled).toBeGreaterThan(0);
  });

  test('fences that were read in another moment than the records', async () => {
    const rig = await rigOf(100);
    const { snapshots } = rig.context.stores.target;
    if (!snapshots) throw new Error('Memory stores open snapshots.');
    const stale = await snapshots.open({ collections: [], placed: false, openMs: 1, ageMs: 1 });
    const outside: typeof snapshots.open = async (options) => {
      const real = await snapshots.open(options);
      return {
        ...real,
        async read(collection, keys, given) {
          const answers = await real.read(collection, keys, given);
          const fences = await stale.read(collection, keys, given);
          return answers.map((one, at) => ({ ...one, fence: fences[at]?.fence ?? null }));
        },
      };
    };
    const sabotage = ['read-ahead-trusted'] as const;
    const overruled = async (): Promise<number> => {
      rig.lagMs = 0;
      await rig.level();
      beforeFollower(rig, async () => {
        await rig.write(idOf(9), `at ${clock.monotonic()}`);
        await rig.level();
      });
      return (await rig.verify({ aligned: { sabotage } })).proof.overruled;
    };
    expect(await overruled()).toBe(0);
    Object.assign(rig.context.stores.target, { snapshots: { open: outside } });
    expect(await overruled()).toBeGreaterThan(0);
  });

  test('keys that have moved on and are counted as equal', async () => {
    const lost = async (sabotage: readonly 'moved-is-equal'[]) => {
      const rig = await rigOf(100);
      beforeFollower(rig, async () => {
        await rig.write(idOf(9), 'moved on');
        await rig.level();
        await rig.rogue(idOf(9), 'lost');
      });
      return (await rig.verify({ aligned: { sabotage } })).outcome;
    };
    expect(await lost([])).toBe('failed');
    expect(await lost(['moved-is-equal'])).toBe('passed');
  });

  test('a record that was read ahead of its fence, taken for a loss', async () => {
    const overruled = async (sabotage: readonly 'read-ahead-trusted'[]): Promise<number> => {
      const rig = await rigOf(100);
      beforeFollower(rig, () => readAhead(rig));
      return (await rig.verify({ aligned: { sabotage } })).proof.overruled;
    };
    expect(await overruled([])).toBe(0);
    expect(await overruled(['read-ahead-trusted'])).toBeGreaterThan(0);
  });
});
