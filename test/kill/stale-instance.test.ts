import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { postgresControl } from '../../src/adapters/postgres/index.ts';
import { applierDefaults, drainOnce, drainUntilEmpty } from '../../src/capture/index.ts';
import type { Instance, MigrationContext } from '../../src/control/index.ts';
import { type SwitchResult, switchAuthority } from '../../src/cutover/index.ts';
import { type Runtime, systemRuntime } from '../../src/runtime/index.ts';
import { withDatabases } from '../support/databases.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';
import { by, pass } from '../support/memory-migration.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import type {
  InstanceAnswer,
  InstanceCommand,
  StaleInstanceOptions,
  StopMoment,
} from '../support/stale-instance.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

const program = fileURLToPath(new URL('../support/stale-instance.ts', import.meta.url));
const leaseMs = 900;
const hourMs = 3_600_000;
const waitMs = 20_000;
const startMs = 60_000;

type Engine = StaleInstanceOptions['engine'];

/** A forked instance, seen from the test. */
class StaleInstance {
  readonly id: string;
  readonly #child: ChildProcess;
  readonly #answers: InstanceAnswer[] = [];

  constructor(options: StaleInstanceOptions) {
    this.id = options.instance;
    this.#child = fork(program, [JSON.stringify(options)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (answer: InstanceAnswer) => this.#answers.push(answer));
  }

  /** The first thing that it told which fits. */
  async told<T extends InstanceAnswer>(
    fits: (answer: InstanceAnswer) => answer is T,
    withinMs = waitMs,
  ): Promise<T> {
    const until = performance.now() + withinMs;
    for (;;) {
      const found = this.#answers.find(fits);
      if (found !== undefined) return found;
      if (performance.now() > until)
        throw new Error(`${this.id} did not tell: ${JSON.stringify(this.#answers)}`);
      await sleep(5);
    }
  }

  /** It has translated itself, and has registered. */
  ready = (): Promise<unknown> =>
    this.told((one): one is InstanceAnswer => one.type === 'ready', startMs);

  /** `written`, or the code of the error. */
  async outcome(id: number): Promise<string> {
    const answer = await this.told(
      (one): one is Extract<InstanceAnswer, { type: 'answer' }> =>
        one.type === 'answer' && one.id === id,
    );
    return answer.outcome;
  }

  /** It knows an epoch that is this or later. */
  knowsEpoch = (epoch: number): Promise<unknown> =>
    this.told(
      (one): one is Extract<InstanceAnswer, { type: 'state' }> =>
        one.type === 'state' && one.epoch >= epoch,
    );

  send(command: InstanceCommand): void {
    this.#child.send(command);
  }

  put(id: number, stopAt?: StopMoment): void {
    this.send({ type: 'put', id, ...(stopAt ? { stopAt } : {}) });
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The kernel says so: not a guess by time. */
  async stopped(): Promise<void> {
    const until = performance.now() + waitMs;
    const state = (): string | undefined =>
      readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8').split(') ')[1]?.[0];
    while (state() !== 'T') {
      if (performance.now() > until) throw new Error(`${this.id} does not stop`);
      await sleep(5);
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

/** The wall clock of this process shows so much more, for everything that asks through the runtime. */
const runtimeAt = (offsetMs: number): Runtime => ({
  ...systemRuntime,
  clock: { ...systemRuntime.clock, now: () => Date.now() + offsetMs },
});

interface Stores {
  url(index: number): string;
  query(index: number, sql: string): Promise<object[]>;
}

function facts(engine: Engine, stores: Stores): void {
  const controls = withDatabases(1, { scope: 'test' });
  let proxy: TcpProxy;
  let context: MigrationContext;
  const instances: StaleInstance[] = [];

  const openContext = async (runtime = systemRuntime): Promise<MigrationContext> =>
    openKillContext({
      engine,
      sourceUrl: stores.url(0),
      targetUrl: stores.url(1),
      control: await postgresControl({ url: controls.url(0) }).connect(runtime),
      mode: 'deferred',
      instance: 'coordinator',
      runtime,
    });
  const closeContext = async ({ stores: opened, control }: MigrationContext): Promise<void> => {
    await Promise.all([opened.source.close(), opened.target.close(), control.close()]);
  };

  beforeEach(async () => {
    const { port } = new URL(controls.url(0));
    proxy = await startTcpProxy({ port: Number(port) });
    for (const side of [0, 1]) await stores.query(side, thingsDdl);
    context = await openContext();
    await context.stores.source.setup.install('authority', 1);
    await context.stores.target.setup.install('follower', 1);
    await pass(
      context,
      { type: 'start', shadow: false },
      { type: 'advance', to: 'backfill' },
      { type: 'advance', to: 'shadow-read' },
      { type: 'advance', to: 'read-switch' },
    );
  });
  afterEach(async () => {
    await Promise.all(instances.splice(0).map((one) => one.end()));
    await Promise.all([
      context.stores.source.setup.uninstall(),
      context.stores.target.setup.uninstall(),
    ]);
    for (const side of [0, 1]) await stores.query(side, 'DROP TABLE things');
    await closeContext(context);
    await proxy.close();
  });

  async function start(instance: string, controlUrl = controls.url(0)): Promise<StaleInstance> {
    const urls = { sourceUrl: stores.url(0), targetUrl: stores.url(1), controlUrl };
    const started = new StaleInstance({ engine, ...urls, instance, leaseMs });
    instances.push(started);
    await started.ready();
    return started;
  }

  async function registered(
    id: string,
  ): Promise<{ readonly nowMs: number; readonly one: Instance }> {
    const { nowMs, instances: all } = await context.control.fleet.list('kill');
    const one = all.find((each) => each.id === id);
    if (one === undefined) throw new Error(`${id} is not registered`);
    return { nowMs, one };
  }

  /** By the control store's own clock. */
  async function leaseExpired(id: string): Promise<void> {
    for (const until = performance.now() + waitMs; performance.now() < until; await sleep(20)) {
      const { nowMs, one } = await registered(id);
      if (one.leaseUntilMs < nowMs) return;
    }
    throw new Error(`the lease of ${id} does not run out`);
  }

  const drainBy = (by: MigrationContext) => async (): Promise<unknown> =>
    drainOnce(by, await by.control.load('kill'), applierDefaults);

  const change = (coordinator = context, more: object = {}): Promise<SwitchResult> =>
    switchAuthority(coordinator, {
      to: 'target',
      phaseAfter: 'write-switch',
      ...by,
      drain: drainBy(coordinator),
      ...more,
    });

  const idsOf = async (side: number): Promise<readonly number[]> =>
    (await stores.query(side, 'SELECT id FROM things ORDER BY id')).map((row) =>
      Number((row as { id: unknown }).id),
    );

  /** Both stores hold these rows, once the follower has been brought up. */
  async function bothHold(ids: readonly number[]): Promise<void> {
    const { signal } = new AbortController();
    const state = await context.control.load('kill');
    await drainUntilEmpty(context, state, applierDefaults, waitMs, signal);
    expect([await idsOf(0), await idsOf(1)]).toEqual([ids, ids]);
  }

  test('stopped with a routed write in its hand until after the switch: the write goes to the new authority', async () => {
    const paused = await start('paused');
    paused.put(1);
    expect(await paused.outcome(1)).toBe('written');
    paused.put(2, 'statement');
    await paused.stopped();
    await leaseExpired('paused');
    expect(await change()).toMatchObject({ outcome: 'committed' });
    expect(await idsOf(0)).toEqual([1]);
    paused.signal('SIGCONT');
    expect(await paused.outcome(2)).toBe('written');
    // Nobody has drained since: what is on the source now was written there.
    expect([await idsOf(0), await idsOf(1)]).toEqual([[1], [1, 2]]);
    await bothHold([1, 2]);
  });

  test('stopped with a row in an open transaction: it is ended by the server before the switch, or holds the switch up', async () => {
    const paused = await start('paused');
    paused.put(1, 'commit');
    await paused.stopped();
    await leaseExpired('paused');
    const began = performance.now();
    let switched = false;
    let refused = '';
    // Its own limit on the server is 1.5 s; a switch that begins before that waits, or undoes itself.
    while (!switched && performance.now() - began < 2 * waitMs) {
      switched = await change().then(
        () => true,
        (error: unknown) => {
          refused = String(error);
          return false;
        },
      );
      expect(await idsOf(0)).toEqual([]);
    }
    expect(switched, refused).toBe(true);
    paused.signal('SIGCONT');
    const outcome = await paused.outcome(1);
    expect(await idsOf(0)).toEqual([]);
    await bothHold(outcome === 'written' ? [1] : []);
    paused.put(2);
    expect(await paused.outcome(2)).toBe('written');
    expect(await idsOf(0)).not.toContain(2);
    expect(await idsOf(1)).toContain(2);
  });

  test.each(['cut and refused', 'swallowed'])(
    'partitioned from the control store (%s): its writes are refused after the switch, and go on when it can hear',
    async (how) => {
      const deaf = await start('deaf', proxy.url(controls.url(0)));
      deaf.put(1);
      expect(await deaf.outcome(1)).toBe('written');
      if (how === 'swallowed') proxy.freeze();
      else {
        proxy.refuse(true);
        proxy.cut();
      }
      deaf.put(2);
      expect(await deaf.outcome(2)).toBe('written');
      await leaseExpired('deaf');
      expect(await change()).toMatchObject({ outcome: 'committed' });
      const before = await idsOf(0);
      expect(before).toEqual([1, 2]);
      // Refused by the source, and nothing newer is heard: not written, and the caller is told so.
      deaf.put(3);
      expect(['AUTHORITY_FENCED', 'HOLD_EXPIRED']).toContain(await deaf.outcome(3));
      expect([await idsOf(0), await idsOf(1)]).toEqual([before, before]);
      deaf.put(4);
      await sleep(200);
      if (how === 'swallowed') {
        proxy.cut();
        proxy.resume();
      } else proxy.refuse(false);
      expect(await deaf.outcome(4)).toBe('written');
      expect([await idsOf(0), await idsOf(1)]).toEqual([before, [1, 2, 4]]);
      await bothHold([1, 2, 4]);
    },
  );

  test.each([
    ['an hour ahead', hourMs],
    ['an hour behind', -hourMs],
  ])(
    'an instance whose wall clock jumps %s keeps its lease, and is waited for by the switch',
    async (_, offsetMs) => {
      const jumping = await start('jumping');
      const { lastSeenMs } = (await registered('jumping')).one;
      jumping.send({ type: 'clock', offsetMs });
      jumping.put(1);
      expect(await jumping.outcome(1)).toBe('written');
      // A heartbeat of after the jump.
      let seen = await registered('jumping');
      for (; seen.one.lastSeenMs === lastSeenMs; seen = await registered('jumping'))
        await sleep(20);
      expect(seen.one.leaseUntilMs - seen.one.lastSeenMs).toBe(leaseMs);
      expect(Math.abs(seen.nowMs - seen.one.lastSeenMs)).toBeLessThan(2 * leaseMs);
      expect(seen.one.leaseUntilMs).toBeGreaterThan(seen.nowMs);
      const { state } = await change();
      // Alive, so it has acknowledged the hold before the seal.
      expect((await registered('jumping')).one.acknowledgedVersion).toBeGreaterThanOrEqual(
        state.version - 1,
      );
      jumping.put(2);
      expect(await jumping.outcome(2)).toBe('written');
      expect([await idsOf(0), await idsOf(1)]).toEqual([[1], [1, 2]]);
    },
  );

  test('a jump while it is stopped with a write in its hand changes nothing either', async () => {
    const paused = await start('paused');
    paused.send({ type: 'clock', offsetMs: -hourMs });
    paused.put(1, 'statement');
    await paused.stopped();
    await leaseExpired('paused');
    expect(await change()).toMatchObject({ outcome: 'committed' });
    paused.send({ type: 'clock', offsetMs: hourMs });
    paused.signal('SIGCONT');
    expect(await paused.outcome(1)).toBe('written');
    expect([await idsOf(0), await idsOf(1)]).toEqual([[], [1]]);
  });

  test.each([hourMs, -hourMs])(
    'a coordinator whose wall clock is off by %i ms judges leases by the control store’s',
    async (offsetMs) => {
      const live = await start('live');
      const paused = await start('paused');
      paused.put(1, 'statement');
      await paused.stopped();
      const wrong = await openContext(runtimeAt(offsetMs));
      try {
        // Its lease holds: by a clock an hour ahead it would have expired.
        const early = change(wrong, { ackTimeoutMs: 100, drainTimeoutMs: 50, leaseMs: 5_000 });
        await expect(early).rejects.toMatchObject({ code: 'FLEET_NOT_ACKNOWLEDGED' });
        await leaseExpired('paused');
        // It has: by a clock an hour behind it would hold for another hour.
        expect(await change(wrong)).toMatchObject({ outcome: 'committed' });
      } finally {
        await closeContext(wrong);
      }
      await live.knowsEpoch(2);
      paused.signal('SIGCONT');
      expect(await paused.outcome(1)).toBe('written');
      expect([await idsOf(0), await idsOf(1)]).toEqual([[], [1]]);
    },
  );
}

describe('after the switch a stale instance writes nothing under the old authority: PostgreSQL', () => {
  const stores = withDatabases(2);
  facts('postgres', stores);
});

describe.skipIf(missingMariadb())(
  'after the switch a stale instance writes nothing under the old authority: MariaDB',
  () => {
    const stores = withMariadb(2);
    facts('mariadb', stores);
  },
);
