import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EvidenceCounts, EvidenceDelta, MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import { demoProfile, type GateProfile, type GateResult } from '../../src/gates/index.ts';
import type { Collection } from '../../src/migration/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { controllerSteps } from '../support/controller-steps.ts';
import { by, latch, type MemoryMigration, memoryMigration } from '../support/memory-migration.ts';
import { until } from '../support/router-rig.ts';

const RECORDS = 320;
/** A memory store answers in microseconds, and nobody shall fail for the turn of a loop. */
const profile: GateProfile = {
  ...demoProfile,
  windowMinutes: 600,
  latencyMsFine: 1_000,
  coverageMin: 0.9,
};

let migration: MemoryMigration;
let context: MigrationContext;
let controller: Controller;
let router: Router;
let worker: Worker;
let ended = 0;

beforeEach(async () => {
  migration = memoryMigration();
  context = await migration.open('application');
  controller = createController(context, { profile });
  await controller.start(by);
  router = await createRouter(context, { shadow: { concurrency: 64, flushMs: 10_000 } });
  worker = await startWorker(context, { pollMs: 5, recheckMs: 10 });
  for (let id = 0; id < RECORDS; id++)
    await router.collection('items').put({ id: String(id), name: `item ${id}` });
  for (const to of ['backfill', 'shadow-read'] as const) {
    await until(async () => (await controller.plan(to)).verdict === 'pass');
    const { state } = await controller.advance({ ...by, to });
    await until(() => router.state().version >= state.version);
  }
  await steps.verified(0);
  context.events.subscribe(({ type }) => {
    if (type === 'shadow-read') ended += 1;
  });
});
afterEach(async () => {
  await worker.close();
  await router.close();
});

const steps = controllerSteps(() => ({ context, controller }));

/** Reads these records, and waits until their shadow reads are compared and counted. */
async function read(ids: readonly number[]): Promise<void> {
  for (let from = 0; from < ids.length; from += 32) {
    // In turns: what comes at once is shed.
    const some = ids.slice(from, from + 32);
    const wanted = ended + some.length;
    for (const id of some) await router.collection('items').get(String(id));
    await until(() => ended === wanted);
  }
  await router.settle(1_000);
}
const all = (): number[] => Array.from({ length: RECORDS }, (_, id) => id);

const gatesOf = async (asked: Controller = controller): Promise<Record<string, GateResult>> =>
  Object.fromEntries((await asked.plan('read-switch')).gates.map((gate) => [gate.gate, gate]));

/** Nothing counted, in the place of that row. */
function counts(row: EvidenceCounts | undefined): EvidenceDelta {
  const { collection, fingerprint } = row as EvidenceCounts;
  const none = { compared: 0, matched: 0, suspect: 0, confirmed: 0, shed: 0, timedOut: 0 };
  return { ...none, failed: 0, collection, fingerprint, detector: 'shadow-read', minute: 0 };
}

/** The same migration as somebody else sees it: later, or with another configuration. */
function seenBy(change: {
  readonly laterMs?: number;
  readonly collection?: Partial<Collection>;
}): Controller {
  const { clock } = context.runtime;
  const items = context.migration.collections.get('items') as Collection;
  const later = { ...clock, now: () => clock.now() + (change.laterMs ?? 0) };
  const collections = new Map([['items', { ...items, ...change.collection }]]);
  const seen: MigrationContext = {
    ...context,
    runtime: { ...context.runtime, clock: later },
    migration: { ...context.migration, collections },
  };
  return createController(seen, { profile });
}

describe('before the read switch', () => {
  test('every gate passes when each record was read once', async () => {
    await read(all());
    const plan = await controller.plan('read-switch');
    expect(plan.gates.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
    expect([plan.verdict, plan.earliest]).toEqual(['pass', null]);
  });

  test('no data passes nothing', async () => {
    const gates = await gatesOf();
    for (const name of ['shadow-read-parity', 'coverage', 'latency-ratio'])
      expect(gates[name], name).toMatchObject({ verdict: 'unknown' });
    expect(gates['shadow-read-parity']?.earliest).toMatchObject({
      atMs: null,
      text: expect.stringContaining('nothing new was compared'),
    });
  });

  test('one record that is read a thousand times is one comparison', async () => {
    await read(Array.from({ length: 1_000 }, (_, index) => index % 32));
    const parity = (await gatesOf())['shadow-read-parity'];
    expect(parity).toMatchObject({ verdict: 'unknown', evidence: { independent: 32 } });
    expect(parity?.evidence['compared']).toBeGreaterThan(500);
  });

  test('what several processes read is counted once', async () => {
    const other = await createRouter(await migration.open('another'), {
      shadow: { concurrency: 64, flushMs: 5 },
    });
    await read([1, 2, 3]);
    for (const id of [2, 3, 4]) await other.collection('items').get(String(id));
    await until(async () => {
      const rows = await context.control.evidence.since('shop', 0);
      return rows.reduce((sum, { matched }) => sum + matched, 0) === 6;
    });
    expect((await gatesOf())['shadow-read-parity']?.evidence).toMatchObject({ independent: 4 });
    await other.close();
  });

  test('a record in another version is another comparison', async () => {
    await read([1]);
    await router.collection('items').put({ id: '1', name: 'changed' });
    await read([1]);
    expect((await gatesOf())['shadow-read-parity']?.evidence).toMatchObject({ independent: 2 });
  });

  test('a record that neither store has, under any number of keys, proves nothing', async () => {
    await read(Array.from({ length: 400 }, (_, index) => 10_000 + index));
    expect((await gatesOf())['shadow-read-parity']?.evidence).toMatchObject({ independent: 0 });
  });

  test('evidence that is older than allowed does not pass', async () => {
    await read(all());
    const { evidenceMinutesMax } = profile;
    const late = seenBy({ laterMs: (evidenceMinutesMax + 2) * 60_000 });
    expect((await gatesOf(late))['shadow-read-parity']).toMatchObject({
      verdict: 'unknown',
      message: expect.stringMatching(/newest comparison is 3\d minutes old/),
    });
  });

  test('what a host counted whose clock is ahead is not fresh, and proves nothing', async () => {
    await read(all());
    // Seen from an hour before, it is as if the clock of the application were an hour ahead.
    const gates = await gatesOf(seenBy({ laterMs: -3_600_000 }));
    expect(gates['shadow-read-parity']).toMatchObject({
      verdict: 'unknown',
      evidence: { independent: 0, ahead: RECORDS },
      message: expect.stringContaining('ahead of this clock'),
    });
    expect(gates['coverage']).toMatchObject({ verdict: 'unknown' });
  });

  test('a recheck makes no old comparison fresh', async () => {
    await read(all());
    const late = (profile.evidenceMinutesMax + 2) * 60_000;
    const [row] = await context.control.evidence.since('shop', 0);
    const minute = Math.floor((Date.now() + late) / 60_000);
    await context.control.evidence.add('shop', [{ ...counts(row), minute, confirmed: 1 }]);
    expect((await gatesOf(seenBy({ laterMs: late })))['shadow-read-parity']).toMatchObject({
      verdict: 'unknown',
      message: expect.stringContaining('newest comparison'),
    });
  });

  test('closures whose answers differ fail parity, although no key can be rechecked', async () => {
    await read(all());
    for (let turn = 0; turn < 40; turn++) {
      const wanted = ended + 1;
      const closures = { source: async () => turn, target: async () => (turn % 2 ? turn : -1) };
      await router.read('list', closures);
      await until(() => ended === wanted);
    }
    await router.settle(1_000);
    expect((await gatesOf())['shadow-read-parity']).toMatchObject({
      verdict: 'fail',
      evidence: { confirmed: 20 },
      message: expect.stringContaining('20 mismatches'),
    });
    const own = createController(context, { profile: { ...profile, parityOf: 'collection' } });
    expect((await gatesOf(own))['shadow-read-parity']?.message).toContain('list: ');
  });

  test('without a worker whose lease holds no gate passes that would know of mismatches', async () => {
    await read(all());
    await worker.close();
    await steps.worker(-1);
    const gates = await gatesOf();
    for (const name of ['shadow-read-parity', 'unexplained-mismatches'])
      expect(gates[name], name).toMatchObject({
        verdict: 'unknown',
        message: expect.stringContaining('No worker is running'),
      });
    await steps.worker();
    expect((await gatesOf())['unexplained-mismatches']).toMatchObject({ verdict: 'pass' });
  });

  test('reads that were shed are not covered, however many matched', async () => {
    await read(all());
    expect((await gatesOf())['coverage']).toMatchObject({ verdict: 'pass' });
    const { opened, open } = latch();
    migration.databases.target.hook = {
      request: (step) => (step.label.startsWith('records/read') ? opened : Promise.resolve()),
      reply: async () => {},
      row: async () => {},
      commit: async (_step, server) => void server.commit(),
    };
    for (const id of all()) await router.collection('items').get(String(id));
    migration.databases.target.hook = null;
    open();
    await router.settle(1_000);
    const gates = await gatesOf();
    expect(gates['coverage']).toMatchObject({
      verdict: 'fail',
      message: expect.stringMatching(/2\d\d shed/),
    });
    expect((await controller.plan('read-switch')).verdict).toBe('fail');
  });

  test('what a bad hour sheds does not drown in a good week', async () => {
    await read(all());
    const laterMs = 3 * 3_600_000;
    const minute = Math.floor((context.runtime.clock.now() + laterMs) / 60_000);
    const [row] = await context.control.evidence.since('shop', 0);
    const bad = { ...counts(row), minute, compared: 10, matched: 10, shed: 15 };
    await context.control.evidence.add('shop', [bad]);
    expect((await gatesOf(seenBy({ laterMs })))['coverage']).toMatchObject({
      verdict: 'fail',
      message: expect.stringContaining('Of the last 30 minutes 40 % of 25.'),
    });
    // The whole of it is enough.
    expect((await gatesOf(seenBy({ laterMs: laterMs + 3_600_000 })))['coverage']).toMatchObject({
      verdict: 'pass',
    });
  });

  test.each([
    ['a transform of a new version', { transformVersion: 2 }],
    ['another mapping', { mapping: 'other types' }],
    [
      'a field that is not compared any more',
      { ignore: { name: { reason: 'x', until: '2999-01-01' } } },
    ],
    ['other columns', { target: { table: 'items', key: ['id'], columns: ['id'] } }],
  ] as const)('%s begins all proof anew', async (_what, collection) => {
    await read(all());
    const gates = await gatesOf(seenBy({ collection }));
    expect(gates['shadow-read-parity']).toMatchObject({
      verdict: 'unknown',
      evidence: { independent: 0, byOthers: RECORDS },
      message: expect.stringContaining('another comparator'),
    });
    expect(gates['coverage']).toMatchObject({ verdict: 'unknown' });
    expect(gates['verify-passed']).toMatchObject({
      verdict: 'unknown',
      message: expect.stringContaining('another comparator'),
    });
  });

  test('an exemption that has expired is another comparator', async () => {
    const until = new Date(Date.now() + 60_000).toISOString();
    const collection = { ignore: { name: { reason: 'x', until } } };
    const now = seenBy({ collection });
    const then = seenBy({ collection, laterMs: 120_000 });
    await controller.advance({ ...by, overrides: await closed() });
    const hash = async (asked: Controller) => (await asked.plan('write-switch')).hash;
    expect(await hash(now)).not.toBe(await hash(then));
    expect(await hash(seenBy({ laterMs: 120_000 }))).toBe(await hash(seenBy({})));
  });

  test('each collection has to prove parity by itself where the profile says so', async () => {
    await read(all());
    const second = { ...(context.migration.collections.get('items') as Collection), name: 'more' };
    const collections = new Map([...context.migration.collections, ['more', second]]);
    const wider = { ...context, migration: { ...context.migration, collections } };
    const own = createController(wider, { profile: { ...profile, parityOf: 'collection' } });
    const parity = (await gatesOf(own))['shadow-read-parity'];
    expect(parity).toMatchObject({
      verdict: 'unknown',
      message: expect.stringContaining('more: No shadow read was compared yet'),
    });
    const together = createController(wider, { profile });
    expect((await gatesOf(together))['shadow-read-parity']).toMatchObject({
      verdict: 'pass',
      message: expect.stringContaining('No read was compared of more'),
    });
    expect((await gatesOf(own))['coverage']).toMatchObject({
      verdict: 'unknown',
      message: expect.stringContaining('more: No shadow read was made yet'),
    });
  });

  test('a target that is slower than allowed fails by its p99', async () => {
    await read(all());
    const minute = Math.floor(context.runtime.clock.now() / 60_000);
    const { evidence } = context.control;
    await evidence.addLatencies('shop', [
      { collection: 'items', side: 'source', minute, buckets: new Map([[80, 1_000]]) },
      {
        collection: 'items',
        side: 'target',
        minute,
        buckets: new Map([
          [80, 980],
          [110, 20],
        ]),
      },
    ]);
    const strict = createController(context, { profile: { ...profile, latencyMsFine: 5 } });
    expect((await gatesOf(strict))['latency-ratio']).toMatchObject({
      verdict: 'fail',
      message: expect.stringMatching(/14\.67 times, allowed: 10/),
    });
    const few = createController(context, { profile: { ...profile, latencyReadsMin: 5_000 } });
    expect((await gatesOf(few))['latency-ratio']).toMatchObject({ verdict: 'unknown' });
  });

  test('a mismatch that opens between the plan and the advance stops it', async () => {
    await read(all());
    const plan = await controller.plan('read-switch');
    expect(plan.verdict).toBe('pass');
    const nowMs = context.runtime.clock.now();
    await context.control.mismatches.record('shop', [
      {
        collection: 'items',
        key: '["1"]',
        kind: 'different',
        status: 'open',
        detector: 'verify',
        differences: [],
        firstSeenMs: nowMs,
        lastSeenMs: nowMs,
        rechecks: 3,
        note: '',
      },
    ]);
    await expect(
      controller.advance({ ...by, expectedVersion: plan.stateVersion }),
    ).rejects.toMatchObject({
      code: 'GATE_FAILED',
      message: expect.stringContaining('unexplained-mismatches fail'),
    });
    expect((await steps.load()).phase).toBe('shadow-read');
  });

  test('says when it can pass, by the rate of the last minutes', async () => {
    const { evidence } = context.control;
    const nowMs = context.runtime.clock.now();
    await read(all().slice(0, 100));
    const [row] = await evidence.since('shop', 0);
    // The same as if it had been read over five minutes.
    const begun: EvidenceDelta = { ...(row as EvidenceDelta), minute: (row?.minute ?? 0) - 5 };
    await evidence.add('shop', [{ ...begun, compared: 1, matched: 1, suspect: 0 }]);
    const began = createController(context, { profile });
    const parity = (await gatesOf(began))['shadow-read-parity'];
    expect(parity?.verdict).toBe('unknown');
    expect(parity?.earliest?.text).toMatch(/199 comparisons more at \d+ new ones a minute/);
    expect(parity?.earliest?.atMs).toBeGreaterThan(nowMs);
  });
});

/** Every gate that can be overridden and is not passed. */
async function closed(): Promise<Record<string, string>> {
  const { gates } = await controller.plan('read-switch');
  const open = gates.filter(({ verdict }) => verdict !== 'pass');
  return Object.fromEntries(open.map(({ gate }) => [gate, 'not looked at here']));
}
