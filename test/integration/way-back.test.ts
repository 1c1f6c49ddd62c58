import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainOnce } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController, type DrillResult } from '../../src/controller/index.ts';
import {
  type CutoverLimits,
  defaultCutoverLimits,
  type SwitchRehearsal,
  switchAuthority,
} from '../../src/cutover/index.ts';
import { authorityOf, type ChangeoverEvent, type Side } from '../../src/migration/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { withDatabases } from '../support/databases.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';
import { by, latch } from '../support/memory-migration.ts';

const databases = withDatabases(2);
const folder = mkdtempSync(join(tmpdir(), 'changeover-way-back-'));
const indexOf: Readonly<Record<Side, number>> = { source: 0, target: 1 };

let context: MigrationContext;
let controller: Controller;
let router: Router;
let worker: Worker | null = null;
const events: ChangeoverEvent[] = [];
const load = () => context.control.load('kill');
const drain = async () => drainOnce(context, await load(), applierDefaults);

beforeAll(async () => {
  for (const side of [0, 1]) await databases.query(side, thingsDdl);
  context = await openKillContext({
    sourceUrl: databases.url(0),
    targetUrl: databases.url(1),
    control: await sqlite({ file: join(folder, 'control.db') }).connect(systemRuntime),
    mode: 'deferred',
    instance: 'operator',
  });
  context.events.subscribe((event) => events.push(event));
  controller = createController(context, { drain });
  await controller.start(by);
  router = await createRouter(context, { leaseMs: 60_000 });
  for (const to of ['backfill', 'shadow-read', 'read-switch'] as const) {
    const { version } = await load();
    await controller.waitForAcknowledgements(version, { timeoutMs: 5_000 });
    const { gates } = await controller.plan(to);
    const closed = gates.filter(({ verdict, overridable }) => verdict !== 'pass' && overridable);
    const overrides = Object.fromEntries(closed.map(({ gate }) => [gate, 'not looked at here']));
    await controller.advance({ ...by, to, overrides });
  }
});
beforeEach(async () => {
  worker ??= await run();
  for (let id = 1; id <= 3; id++) await router.collection('things').put({ id, value: 'here' });
});
afterAll(async () => {
  await worker?.close();
  await router?.close();
  await Promise.all([context.stores.source.close(), context.stores.target.close()]);
  await context.control.close();
  rmSync(folder, { recursive: true, force: true });
});

const run = (): Promise<Worker> =>
  startWorker(context, { label: 'worker', leaseMs: 3_000, wayBackMs: 100, backfill: null });
async function stop(): Promise<void> {
  await worker?.close();
  worker = null;
}
async function move(to: Side): Promise<void> {
  if (authorityOf((await load()).phase) === to) return;
  const phaseAfter = to === 'target' ? 'write-switch' : 'read-switch';
  await switchAuthority(context, { to, phaseAfter, ...by, drain, prediction: 'note' });
}
const failing = ({ checks }: Pick<SwitchRehearsal | DrillResult, 'checks'>): string[] =>
  checks.filter(({ verdict }) => verdict === 'fail').map(({ check }) => check);
/** A transaction by a program of somebody's, which stays open. */
async function openTransaction(
  side: Side,
  statement: string,
): Promise<{ readonly pid: number; end(): Promise<void> }> {
  const client = new pg.Client({
    connectionString: databases.url(indexOf[side]),
    application_name: 'nightly-report',
  });
  await client.connect();
  await client.query('BEGIN');
  await client.query(statement);
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return {
    pid: rows[0]?.pid ?? 0,
    async end() {
      await client.query('ROLLBACK');
      await client.end();
    },
  };
}
const eventually = async (look: () => Promise<boolean> | boolean): Promise<void> => {
  for (const until = Date.now() + 15_000; !(await look()); )
    if (Date.now() > until) throw new Error('never');
    else await new Promise((resolve) => setTimeout(resolve, 20));
};
const quiet = () =>
  eventually(async () => (await controller.status()).following?.queue?.waiting === 0);
const limited = (limits: Partial<CutoverLimits>): Controller =>
  createController(context, { drain, cutover: limits });

describe('the pause is predicted', { timeout: 60_000 }, () => {
  test('with nothing in the way, beside what it was, and both stand in the journal', async () => {
    await move('source');
    await quiet();
    const rehearsal = await controller.rehearse('target');
    expect(rehearsal).toMatchObject({ ready: true, to: 'target', phaseAfter: 'write-switch' });
    expect(rehearsal.steps.map(({ step }) => step)).toContain('seal');
    const parts = new Map(rehearsal.prediction?.parts.map(({ part, ms }) => [part, ms]));
    expect([...parts.keys()]).toEqual(
      expect.arrayContaining(['acknowledge', 'queue', 'guard', 'sequences', 'control']),
    );
    const { version } = await load();
    for (const to of ['target', 'source', 'target', 'source'] as const) {
      const { prediction, pauseMs } = await switchAuthority(context, {
        to,
        phaseAfter: to === 'target' ? 'write-switch' : 'read-switch',
        ...by,
        drain,
      });
      // Stated in docs/guides/switch-writes.md: within a factor of five, or half a second.
      const predicted = prediction?.ms ?? Number.NaN;
      expect(pauseMs).toBeLessThan(Math.max(5 * predicted, predicted + 500));
      expect(predicted).toBeLessThan(Math.max(5 * pauseMs, pauseMs + 500));
    }
    const lines = (await context.control.history('kill', 100)).filter(
      ({ action }) => action === 'cutover-prediction',
    );
    expect(lines).toHaveLength(4);
    expect(lines[0]?.detail).toMatchObject({
      outcome: 'committed',
      predictedMs: expect.any(Number),
      actualMs: expect.any(Number),
    });
    expect((await load()).version).toBeGreaterThan(version);
  });

  test('a rehearsal changes neither state nor guards nor data', async () => {
    await move('source');
    const before = [await load(), await databases.query(0, 'SELECT * FROM things ORDER BY id')];
    const guards = () =>
      Promise.all((['source', 'target'] as const).map((one) => context.stores[one].guard.read()));
    const guardsBefore = await guards();
    await controller.rehearse('target');
    expect([await load(), await databases.query(0, 'SELECT * FROM things ORDER BY id')]).toEqual(
      before,
    );
    expect(await guards()).toEqual(guardsBefore);
  });

  test('a long transaction keeps the switch from beginning, and is named by its process', async () => {
    await move('source');
    const open = await openTransaction('source', "UPDATE things SET value = 'x' WHERE id = 1");
    try {
      await new Promise((resolve) => setTimeout(resolve, 700));
      const short = limited({ holdMs: 600, ackTimeoutMs: 500 });
      const rehearsal = await short.rehearse('target');
      expect(rehearsal.ready).toBe(false);
      expect(failing(rehearsal)).toEqual(expect.arrayContaining(['transactions', 'pause']));
      const { version } = await load();
      const switched = switchAuthority(context, {
        to: 'target',
        phaseAfter: 'write-switch',
        ...by,
        drain,
        holdMs: 600,
      });
      await expect(switched).rejects.toMatchObject({
        code: 'PAUSE_TOO_LONG',
        message: expect.stringMatching(
          new RegExp(`process ${open.pid} \\(nightly-report.*idle in transaction`),
        ),
      });
      // Nothing was begun: no state was made, no write was held.
      expect((await load()).version).toBe(version);
    } finally {
      await open.end();
    }
    expect((await controller.rehearse('target')).ready).toBe(true);
  });

  test('a queue that grows faster than it drains keeps the switch from beginning', async () => {
    await move('source');
    const { queue } = context.stores.source;
    let growing = true;
    const change = { collection: 'things', key: ['1'], kind: 'change', graceMs: 60_000 } as const;
    const grow = (async () => {
      while (growing) await queue.enqueue(Array.from({ length: 400 }, () => change));
    })();
    try {
      const impatient = limited({ waitingMax: 10, drainTimeoutMs: 1_000 });
      await eventually(async () => (await queue.depth()).waiting > 1_000);
      const { ready, prediction } = await impatient.rehearse('target');
      expect(ready).toBe(false);
      expect(prediction?.obstacles.join()).toMatch(/queue of the source, and it grows by \d+/);
      const { version } = await load();
      const real = switchAuthority(context, {
        to: 'target',
        phaseAfter: 'write-switch',
        ...by,
        waitingMax: 10,
        drainTimeoutMs: 1_000,
      });
      await expect(real).rejects.toThrow(/queue/);
      expect((await load()).version).toBe(version);
    } finally {
      growing = false;
      await grow;
      await databases.query(0, 'DELETE FROM changeover_kill_source.queue');
    }
  });

  test('a prepared transaction on a guarded table is an obstacle', async () => {
    const [row] = await databases.query<{ max: string }>(0, 'SHOW max_prepared_transactions');
    if (Object.values(row ?? {})[0] === '0') return;
    await move('source');
    await databases.query(
      0,
      "BEGIN; UPDATE things SET value = 'p' WHERE id = 2; PREPARE TRANSACTION 'left-alone'",
    );
    try {
      const { prediction } = await controller.rehearse('target');
      expect(prediction?.obstacles.join()).toContain('left-alone');
    } finally {
      await databases.query(0, "ROLLBACK PREPARED 'left-alone'");
    }
  });
});

describe('the way back is watched', { timeout: 60_000 }, () => {
  const rollback = async () => (await controller.status()).rollback;
  const reasons = async () => (await rollback()).obstacles.map(({ reason }) => reason).join(' ');

  test('it is ready, with a time; workers tell how fast they are', async () => {
    await move('target');
    await router.collection('things').put({ id: 1, value: 'reverse' });
    await quiet();
    await eventually(async () => (await rollback()).ready);
    const { ready, writesMs, obstacles } = await rollback();
    expect([ready, obstacles]).toEqual([true, []]);
    expect(writesMs).toBeLessThan(3_000);
    await eventually(async () => {
      const { following } = await controller.status();
      return following?.side === 'target' && (following.changesPerSecond ?? 0) > 0;
    });
    await eventually(() => events.some((event) => event.type === 'way-back' && event.ready));
  });

  test('not without a worker: neither one that left nor one that is silent', async () => {
    await move('target');
    await stop();
    expect(await reasons()).toMatch(/No worker is running/);
    await context.control.fleet.heartbeat(
      'kill',
      { id: 'dead:worker', kind: 'worker', label: 'killed', acknowledgedVersion: 1 },
      10_000,
    );
    expect(await reasons()).toBe('');
    // Its lease holds for long, but it has missed a heartbeat.
    await eventually(async () => /killed for [4-9]/.test(await reasons()));
    await context.control.fleet.remove('kill', 'dead:worker');
  });

  test('not while the source refuses what comes; the reason is told, and so it is with dead letters', async () => {
    await move('target');
    await quiet();
    await databases.query(0, 'ALTER TABLE things ADD CONSTRAINT short CHECK (length(value) < 20)');
    try {
      await router.collection('things').put({ id: 2, value: 'longer than the source allows' });
      await eventually(async () =>
        /1 dead letters wait in the queue of the target/.test(await reasons()),
      );
      // Told with the worker's next heartbeat.
      await eventually(async () =>
        /short/.test((await controller.status()).following?.lastError?.message ?? ''),
      );
      expect(events).toContainEqual(
        expect.objectContaining({ type: 'apply-failed', side: 'target', code: 'STORE_REJECTED' }),
      );
    } finally {
      await databases.query(0, 'ALTER TABLE things DROP CONSTRAINT short');
      const { queue } = context.stores.target;
      const dead = await queue.deadLetters(10);
      await queue.resolveDead(
        'redrive',
        dead.map(({ id }) => id),
      );
    }
    await eventually(async () => (await rollback()).ready);
  });

  test('not with a guard that is not as it should be, and not with the source down', async () => {
    await move('target');
    await databases.query(0, 'UPDATE changeover_kill_source.guard SET epoch = epoch - 1');
    expect(await reasons()).toMatch(/It is follower\/\d+.*expected follower/);
    await databases.query(0, 'UPDATE changeover_kill_source.guard SET epoch = epoch + 1');
    const away = await openKillContext({
      sourceUrl: 'postgres://nobody@127.0.0.1:1/none',
      targetUrl: databases.url(1),
      control: context.control,
      mode: 'deferred',
      instance: 'away',
    });
    const seen = await createController(away).status();
    await Promise.all([away.stores.source.close(), away.stores.target.close()]);
    expect(seen.rollback.ready).toBe(false);
    expect(seen.rollback.obstacles.map(({ reason }) => reason).join()).toMatch(
      /source does not answer/,
    );
  });

  test('not while somebody holds a lock that the guard needs for too long', async () => {
    await move('target');
    await eventually(async () => (await rollback()).ready);
    const open = await openTransaction('target', "UPDATE things SET value = 'x' WHERE id = 3");
    try {
      await eventually(async () => {
        const { rollback } = await limited({ holdMs: 500, ackTimeoutMs: 400 }).status();
        return rollback.obstacles.some(({ reason }) => reason.includes(`process ${open.pid}`));
      });
    } finally {
      await open.end();
    }
  });
});

describe('the drill', { timeout: 90_000 }, () => {
  const rows = (index: number) => databases.query(index, 'SELECT * FROM things ORDER BY id');
  const check = (drill: DrillResult, name: string) =>
    drill.checks.find(({ check }) => check === name);

  test.each(['source', 'target'] as const)(
    'with the %s as authority it passes, and changes no data',
    async (side) => {
      await move(side);
      await quiet();
      const before = [await rows(0), await rows(1)];
      const state = await load();
      const drill = await controller.drill(by);
      expect(failing(drill)).toEqual([]);
      expect(drill).toMatchObject({ ok: true, phase: state.phase });
      expect(drill.spreadMs).toBeLessThan(2_000);
      expect(drill.arrivalMs).toBeLessThan(2_000);
      expect(drill.estimateMs).toBeLessThan(3_000);
      expect([await rows(0), await rows(1)]).toEqual(before);
      expect(await load()).toEqual({ ...state, version: state.version + 1 });
      const { lastDrill } = await controller.status();
      expect(lastDrill).toMatchObject({ ok: true, phase: state.phase, failed: [] });
      expect(lastDrill?.ageMs).toBeLessThan(60_000);
    },
  );

  test('fails without a worker', async () => {
    await move('target');
    await quiet();
    await stop();
    const drill = await controller.drill(by);
    expect(drill.ok).toBe(false);
    expect(check(drill, 'arrival')).toMatchObject({
      verdict: 'fail',
      fix: expect.stringContaining('run'),
    });
    expect((await context.stores.target.queue.depth()).waiting).toBe(0);
    expect((await controller.status()).lastDrill).toMatchObject({ ok: false });
  });

  test('fails when the source refuses the record, and leaves no dead letter', async () => {
    await move('target');
    await quiet();
    await databases.query(
      0,
      "ALTER TABLE things ADD CONSTRAINT never CHECK (value <> 'here') NOT VALID",
    );
    try {
      const drill = await controller.drill(by);
      expect(check(drill, 'arrival of things')).toMatchObject({
        verdict: 'fail',
        message: expect.stringContaining('never'),
      });
      expect(await context.stores.target.queue.depth()).toMatchObject({ dead: 0, waiting: 0 });
    } finally {
      await databases.query(0, 'ALTER TABLE things DROP CONSTRAINT never');
    }
  });

  test('fails when an instance is silent, and names it', async () => {
    await move('target');
    await context.control.fleet.heartbeat(
      'kill',
      { id: 'hung', kind: 'router', label: 'shop:17', acknowledgedVersion: 1 },
      60_000,
    );
    try {
      const drill = await createController(context, {
        drain,
        cutover: { ...defaultCutoverLimits, ackTimeoutMs: 300 },
      }).drill(by);
      expect(drill.spreadMs).toBeNull();
      expect(check(drill, 'instances')).toMatchObject({
        verdict: 'fail',
        message: expect.stringContaining('shop:17'),
      });
    } finally {
      await context.control.fleet.remove('kill', 'hung');
    }
  });

  test('fails when a write that stays open keeps the guard from being locked', async () => {
    await move('target');
    await quiet();
    const [entered, finish] = [latch(), latch()];
    const { epoch } = await load();
    const writing = context.stores.target.records.write({
      collection: 'things',
      key: ['3'],
      action: 'put',
      record: { id: '3', value: 'here' },
      epoch,
      journal: 'change',
      graceMs: 0,
      timeoutMs: 30_000,
      async beforeCommit() {
        entered.open();
        await finish.opened;
      },
    });
    await entered.opened;
    const drill = await controller.drill(by);
    finish.open();
    await writing;
    expect(check(drill, 'guard of the target')).toMatchObject({ verdict: 'fail' });
    expect(check(drill, 'guard of the source')).toMatchObject({ verdict: 'pass' });
  });
});
