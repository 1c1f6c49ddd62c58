import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { postgresControl } from '../../src/adapters/postgres/index.ts';
import { applierDefaults, drainOnce, drainUntilEmpty } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import { expectedGuard, type SwitchResult, switchAuthority } from '../../src/cutover/index.ts';
import { authorityOf, type MigrationState, type Side } from '../../src/migration/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { withDatabases } from '../support/databases.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';
import { by, latch } from '../support/memory-migration.ts';

const databases = withDatabases(3);
const indexOf: Readonly<Record<Side, number>> = { source: 0, target: 1 };

/** A process of its own: own connections to both stores and the control store. */
async function openProcess(instance: string): Promise<MigrationContext> {
  return openKillContext({
    sourceUrl: databases.url(0),
    targetUrl: databases.url(1),
    control: await postgresControl({ url: databases.url(2) }).connect(systemRuntime),
    mode: 'serial',
    instance,
  });
}
const closeProcess = async ({ stores, control }: MigrationContext): Promise<void> => {
  await Promise.all([stores.source.close(), stores.target.close(), control.close()]);
};

let context: MigrationContext;
let controller: Controller;
const load = (): Promise<MigrationState> => context.control.load('kill');
const drain = async () => drainOnce(context, await load(), applierDefaults);

beforeAll(async () => {
  for (const side of [0, 1]) await databases.query(side, thingsDdl);
  context = await openProcess('operator');
  controller = createController(context, { drain });
});
afterAll(() => closeProcess(context));

const guardsAsTheStateSays = async (): Promise<void> => {
  const state = await load();
  for (const side of ['source', 'target'] as const)
    expect(await context.stores[side].guard.read(), side).toEqual(expectedGuard(state, side));
};
const ours = (index: number): Promise<unknown[]> =>
  databases.query(
    index,
    `SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 'changeover%'
     UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal`,
  );

/** Some writers on one router, each with keys of its own, that remember what was acknowledged. */
class Writers {
  readonly acknowledged = new Map<number, string>();
  readonly failures: unknown[] = [];
  longestMs = 0;
  #stopped = false;
  readonly #loops: Promise<void>[] = [];

  start(router: Router, firstKey: number, count: number): void {
    const things = router.collection('things');
    for (let writer = 0; writer < count; writer++)
      this.#loops.push(this.#loop(things, firstKey + writer * 10));
  }

  async #loop(things: ReturnType<Router['collection']>, key: number): Promise<void> {
    for (let round = 0; !this.#stopped; round++) {
      const id = key + (round % 10);
      const value = `round ${round}`;
      const started = performance.now();
      try {
        await things.put({ id, value });
        this.acknowledged.set(id, value);
      } catch (error) {
        this.failures.push(error);
      }
      this.longestMs = Math.max(this.longestMs, performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }
}

describe('on PostgreSQL', () => {
  test('a start puts guards and state in step, and the abort leaves no trace', async () => {
    await controller.start(by);
    await guardsAsTheStateSays();
    expect(await ours(0)).not.toEqual([]);
    expect(await controller.abort(by)).toMatchObject({ phase: 'off', generation: 2 });
    expect([await ours(0), await ours(1)]).toEqual([[], []]);
    expect(await controller.status()).toMatchObject({
      sides: {
        source: { installed: false, error: null },
        target: { installed: false, error: null },
      },
    });
    expect(await controller.resumeCutover()).toMatchObject({ outcome: 'nothing' });
  });

  test('a start with rows in the target is refused until somebody consents', async () => {
    await databases.query(1, "INSERT INTO things VALUES (1, 'old')");
    await expect(controller.start(by)).rejects.toMatchObject({ code: 'LEFTOVERS_FOUND' });
    expect([await ours(0), await ours(1)]).toEqual([[], []]);
    await controller.start({ ...by, truncateTarget: true });
    expect(await databases.query(1, 'SELECT * FROM things')).toEqual([]);
    await controller.abort(by);
  });

  test('off is left without losing or refusing a write, and comes back so', async () => {
    const app = await openProcess('application');
    const router = await createRouter(app);
    const writers = new Writers();
    writers.start(router, 5_000, 5);
    await controller.start({ ...by, truncateTarget: true });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { version } = await load();
    await controller.waitForAcknowledgements(version, { timeoutMs: 5_000 });
    const off = await controller.rollback({ ...by, to: 'off' });
    expect(off.pending).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 200));
    await writers.stop();
    await router.close();
    await closeProcess(app);
    expect(writers.failures).toEqual([]);
    const rows = await databases.query<{ id: number; value: string }>(
      0,
      'SELECT id, value FROM things',
    );
    expect(new Map(rows.map(({ id, value }) => [id, value]))).toEqual(writers.acknowledged);
    await controller.abort(by);
    for (const side of [0, 1]) await databases.query(side, 'TRUNCATE things');
  });

  test('authority moves there and back under load: nothing fails, nothing is lost', async () => {
    await controller.start(by);
    const apps = await Promise.all([openProcess('app-1'), openProcess('app-2')]);
    const routers = await Promise.all(apps.map((app) => createRouter(app)));
    const writers = new Writers();
    routers.forEach((router, index) => {
      writers.start(router, 1 + index * 1_000, 10);
    });
    for (const to of ['backfill', 'shadow-read', 'read-switch'] as const) {
      const { version } = await load();
      await controller.waitForAcknowledgements(version, { timeoutMs: 5_000 });
      const overrides = Object.fromEntries(
        (await controller.plan(to)).gates
          .filter(({ verdict, overridable }) => verdict !== 'pass' && overridable)
          .map(({ gate }) => [gate, 'only the switch is looked at here']),
      );
      await controller.advance({ ...by, to, overrides });
    }
    const pauses: number[] = [];
    for (const to of ['target', 'source', 'target', 'source'] as const) {
      const done: SwitchResult = await switchAuthority(context, {
        to,
        phaseAfter: to === 'target' ? 'write-switch' : 'read-switch',
        ...by,
        drain,
      });
      pauses.push(done.pauseMs);
      await guardsAsTheStateSays();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await writers.stop();
    for (const router of routers) await router.close();
    const state = await load();
    expect(state).toMatchObject({ phase: 'read-switch', epoch: 1 + pauses.length + 0 });
    const depth = await drainUntilEmpty(
      context,
      state,
      applierDefaults,
      15_000,
      new AbortController().signal,
    );
    expect(depth).toMatchObject({ waiting: 0, dead: 0 });
    for (const app of apps) await closeProcess(app);
    expect(writers.failures).toEqual([]);
    expect(writers.acknowledged.size).toBe(200);
    for (const side of ['source', 'target'] as const) {
      const rows = await databases.query<{ id: number; value: string }>(
        indexOf[side],
        'SELECT id, value FROM things',
      );
      expect(new Map(rows.map(({ id, value }) => [id, value])), side).toEqual(writers.acknowledged);
    }
    // On an idle machine some tens of milliseconds; the bound is for a busy one.
    for (const pause of pauses) expect(pause).toBeLessThan(2_000);
  });

  test('a foreign transaction that stays open stops the switch, and is not harmed', async () => {
    const state = await load();
    expect(authorityOf(state.phase)).toBe('source');
    const [entered, finish] = [latch(), latch()];
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: databases.url(0) });
    await client.connect();
    const foreign = (async (): Promise<void> => {
      await client.query('BEGIN');
      await client.query("INSERT INTO things VALUES (-1, 'foreign')");
      entered.open();
      await finish.opened;
      await client.query('COMMIT');
      await client.end();
    })();
    await entered.opened;
    const stopped = switchAuthority(context, {
      to: 'target',
      phaseAfter: 'write-switch',
      ...by,
      drain,
      holdMs: 1_000,
      lockTimeoutMs: 200,
    });
    await expect(stopped).rejects.toMatchObject({
      code: 'CUTOVER_ABORTED',
      data: { step: 'seal' },
    });
    await guardsAsTheStateSays();
    finish.open();
    await foreign;
    expect(await databases.query(0, 'SELECT value FROM things WHERE id = -1')).toEqual([
      { value: 'foreign' },
    ]);
    await databases.query(0, 'DELETE FROM things WHERE id = -1');
  });

  test('after the switch the old store refuses those who do not know', async () => {
    await switchAuthority(context, { to: 'target', phaseAfter: 'write-switch', ...by, drain });
    await expect(databases.query(0, "UPDATE things SET value = 'x'")).rejects.toThrow();
    await expect(databases.query(0, 'TRUNCATE things')).rejects.toThrow();
    await databases.query(1, "UPDATE things SET value = 'y' WHERE id = 1");
    await controller.abort(by);
    expect([await ours(0), await ours(1)]).toEqual([[], []]);
    await databases.query(0, "UPDATE things SET value = 'x' WHERE id = 1");
  });
});
