import assert from 'node:assert/strict';
import type {
  BackfillCheckpoint,
  ControlStore,
  EvidenceCounts,
  Mismatch,
  NewAuditEntry,
} from '../../control/index.ts';
import { isRefusal, type MigrationState, transition } from '../../migration/index.ts';
import { type Clock, systemClock } from '../../runtime/index.ts';
import type { TestFramework } from './conformance-subject.ts';
import { gapFacts } from './gap-facts.ts';

/** Two handles on the same control store that share nothing which two processes could not share. */
export interface ControlStores {
  readonly first: ControlStore;
  readonly second: ControlStore;
  /** Closes both and removes everything. */
  close(): Promise<void>;
}

/** A control store under test. */
export interface ControlStoreSubject {
  readonly name: string;
  readonly framework: TestFramework;
  /** The clock by which the suite waits. Default: the system's. */
  readonly clock?: Clock;
  /** A fresh, empty control store for one test. */
  open(): Promise<ControlStores>;
}

type Body = (stores: ControlStores, clock: Clock) => Promise<void>;
type Fact = (title: string, body: Body) => void;

/** A change of state must be everywhere within this time (DESIGN: < 1 s). */
const watchMs = 1_000;
const migration = 'shop';

/** Registers what every control store has to do. */
export function registerControlStoreConformance(subject: ControlStoreSubject): void {
  const clock = subject.clock ?? systemClock;
  subject.framework.describe(`${subject.name}: control store`, () => {
    const fact: Fact = (title, body) => {
      subject.framework.test(title, async () => {
        const stores = await subject.open();
        try {
          await body(stores, clock);
        } finally {
          await stores.close();
        }
      });
    };
    stateFacts(fact);
    watchFacts(fact);
    fleetFacts(fact);
    ledgerFacts(fact);
    gapFacts(fact);
  });
}

const audit = (action: string, detail: NewAuditEntry['detail'] = {}): NewAuditEntry => ({
  actor: 'tester@here',
  action,
  reason: 'because',
  detail,
});

/** Any next state: background work held or resumed. */
function toggled(state: MigrationState): MigrationState {
  const next =
    state.phase === 'off'
      ? transition(state, { type: 'start', shadow: false })
      : transition(state, { type: state.workHeld ? 'resume-work' : 'hold-work' });
  assert(!isRefusal(next));
  return next;
}

async function advance(store: ControlStore, action = 'step'): Promise<MigrationState> {
  const next = toggled(await store.load(migration));
  assert.equal(await store.commit(next, audit(action)), true);
  return next;
}

async function until(clock: Clock, ms: number, what: string, done: () => boolean): Promise<void> {
  const end = clock.monotonic() + ms;
  while (!done()) {
    if (clock.monotonic() > end) assert.fail(`${what} did not happen within ${ms} ms`);
    await clock.sleep(5);
  }
}

function stateFacts(fact: Fact): void {
  fact(
    'a migration that nobody has started is off, in version 1, for everybody',
    async (stores) => {
      const states = await Promise.all([
        stores.first.load(migration),
        stores.second.load(migration),
        stores.first.load(migration),
      ]);
      for (const state of states) {
        assert.equal(state.phase, 'off');
        assert.equal(state.version, 1);
        assert.deepEqual(state, states[0]);
      }
    },
  );

  fact('a committed state is what the other process loads, whole', async ({ first, second }) => {
    const state = await first.load(migration);
    const next: MigrationState = {
      ...toggled(state),
      phase: 'read-switch',
      dialBasisPoints: 2_550,
      segments: ['intern', 'überall 🎬'],
      cutover: {
        attempt: 'a1',
        owner: 'host:1',
        to: 'target',
        phaseAfter: 'write-switch',
        epoch: 2,
        writesHeld: true,
        status: 'running',
      },
    };
    assert.equal(await first.commit(next, audit('all')), true);
    assert.deepEqual(await second.load(migration), next);
  });

  fact('of 20 that commit at once exactly one wins, round after round', async (stores) => {
    for (let round = 0; round < 10; round++) {
      const next = toggled(await stores.first.load(migration));
      const wins = await Promise.all(
        Array.from({ length: 20 }, (_, racer) =>
          (racer % 2 === 0 ? stores.first : stores.second).commit(
            next,
            audit('race', { round, racer }),
          ),
        ),
      );
      assert.equal(wins.filter(Boolean).length, 1, `round ${round}`);
      const [line] = await stores.first.history(migration, 1);
      assert.equal(line?.stateVersion, next.version);
      assert.equal(line?.detail['racer'], wins.indexOf(true));
    }
    const lines = await stores.second.history(migration, 100);
    assert.equal(lines.length, 10, 'the losers leave no line in the audit');
  });

  fact('a commit that skips or repeats a version changes nothing', async ({ first, second }) => {
    const one = await advance(first);
    assert.equal(await second.commit(one, audit('again')), false);
    assert.equal(await second.commit({ ...one, version: one.version + 2 }, audit('skip')), false);
    assert.deepEqual(await first.load(migration), one);
    assert.equal((await first.history(migration, 10)).length, 1);
  });

  fact('the audit has the newest line first, with notes between', async ({ first, second }) => {
    await advance(first, 'one');
    await second.note(migration, audit('note', { nested: { list: [1, null, 'ä'] } }));
    await advance(second, 'two');
    const lines = await first.history(migration, 10);
    assert.deepEqual(
      lines.map(({ action, stateVersion }) => [action, stateVersion]),
      [
        ['two', 3],
        ['note', null],
        ['one', 2],
      ],
    );
    assert.deepEqual(lines[1]?.detail, { nested: { list: [1, null, 'ä'] } });
    assert.equal(lines[0]?.actor, 'tester@here');
    assert.equal(lines[0]?.reason, 'because');
    assert((lines[0]?.atMs ?? 0) >= (lines[2]?.atMs ?? 0));
    assert.equal((await first.history(migration, 2)).length, 2);
    assert.deepEqual(await first.history('another', 10), []);
  });

  fact('two migrations share one control store without touching each other', async (stores) => {
    await advance(stores.first);
    assert.equal((await stores.second.load('another')).version, 1);
    await stores.second.fleet.heartbeat('another', instance('x', 1), 1_000);
    assert.deepEqual((await stores.first.fleet.list(migration)).instances, []);
  });
}

function watchFacts(fact: Fact): void {
  fact(
    'a watcher is told the present state, then each newest one in < 1 s',
    async (stores, clock) => {
      const seen: number[] = [];
      const stop = stores.second.watch(
        migration,
        (state) => seen.push(state.version),
        (error) => assert.fail(String(error)),
      );
      await until(clock, watchMs, 'the first state', () => seen.length === 1);
      for (let round = 0; round < 5; round++) {
        const { version } = await advance(stores.first);
        await until(clock, watchMs, `version ${version}`, () => seen.at(-1) === version);
      }
      stop();
      await advance(stores.first);
      await clock.sleep(400);
      assert.deepEqual(
        seen,
        [...new Set(seen)].sort((a, b) => a - b),
        'never backwards, never twice',
      );
      assert.equal(seen.at(-1), 6, 'nothing after the end of the watch');
    },
  );

  fact('several watchers of a busy state all end at the newest', async (stores, clock) => {
    const watchers = Array.from({ length: 6 }, () => [] as number[]);
    const stops = watchers.map((seen, index) =>
      (index % 2 === 0 ? stores.first : stores.second).watch(
        migration,
        (state) => seen.push(state.version),
        (error) => assert.fail(String(error)),
      ),
    );
    let last = 0;
    for (let round = 0; round < 40; round++) {
      last = (await advance(round % 2 === 0 ? stores.first : stores.second)).version;
    }
    await until(clock, watchMs, 'the newest state everywhere', () =>
      watchers.every((seen) => seen.at(-1) === last),
    );
    for (const seen of watchers)
      assert.deepEqual(
        seen,
        [...seen].sort((a, b) => a - b),
      );
    for (const stop of stops) {
      stop();
      stop();
    }
  });

  fact('close ends watching, and may be called twice', async ({ first, second }, clock) => {
    const seen: number[] = [];
    second.watch(
      migration,
      (state) => seen.push(state.version),
      (error) => assert.fail(String(error)),
    );
    await until(clock, watchMs, 'the first state', () => seen.length === 1);
    await second.close();
    await second.close();
    await advance(first);
    await clock.sleep(400);
    assert.deepEqual(seen, [1]);
    await assert.rejects(second.load(migration), /CLOSED/);
  });
}

const instance = (id: string, acknowledgedVersion: number) => ({
  id,
  kind: 'router' as const,
  label: `host:${id}`,
  acknowledgedVersion,
});

function fleetFacts(fact: Fact): void {
  fact('a heartbeat never lowers what was acknowledged', async ({ first, second }) => {
    await first.fleet.heartbeat(migration, instance('a', 7), 10_000);
    await second.fleet.heartbeat(migration, instance('a', 3), 10_000);
    const { instances } = await first.fleet.list(migration);
    assert.deepEqual(
      instances.map(({ id, kind, label, acknowledgedVersion }) => ({
        id,
        kind,
        label,
        acknowledgedVersion,
      })),
      [instance('a', 7)],
    );
  });

  fact('leases are given and judged by one clock', async ({ first, second }, clock) => {
    await first.fleet.heartbeat(migration, instance('a', 1), 300);
    await second.fleet.heartbeat(migration, instance('b', 1), 60_000);
    const before = await first.fleet.list(migration);
    const [a, b] = before.instances;
    assert(a && b);
    assert.equal(a.leaseUntilMs - a.lastSeenMs, 300);
    assert.equal(b.leaseUntilMs - b.lastSeenMs, 60_000);
    assert(a.lastSeenMs <= before.nowMs && before.nowMs - a.lastSeenMs < 5_000);
    await clock.sleep(400);
    const after = await second.fleet.list(migration);
    assert(after.nowMs - before.nowMs >= 350, 'the clock goes on');
    assert(after.nowMs > (after.instances[0]?.leaseUntilMs ?? 0), 'a has expired');
    assert(after.nowMs < (after.instances[1]?.leaseUntilMs ?? 0), 'b has not');
    await first.fleet.heartbeat(migration, instance('a', 1), 60_000);
    const renewed = await second.fleet.list(migration);
    assert((renewed.instances[0]?.leaseUntilMs ?? 0) > renewed.nowMs, 'a came back');
  });

  fact(
    'what a worker tells of its work comes back, the newest; others tell nothing',
    async ({ first, second }) => {
      const report = {
        side: 'target' as const,
        changesPerSecond: 480,
        keysPerSecond: null,
        logLagMs: null,
        appliedAgoMs: 12,
        lastError: 'STORE_REJECTED: „no“',
        failedAgoMs: 40_000,
      };
      const worker = { ...instance('w', 1), kind: 'worker' as const };
      await first.fleet.heartbeat(migration, instance('a', 1), 1_000);
      await first.fleet.heartbeat(migration, { ...worker, report }, 1_000);
      const newest = { ...report, lastError: null, failedAgoMs: null };
      await first.fleet.heartbeat(migration, { ...worker, report: newest }, 1_000);
      const { instances } = await second.fleet.list(migration);
      assert.deepEqual(
        instances.map((one) => [one.id, one.report ?? null]),
        [
          ['a', null],
          ['w', newest],
        ],
      );
    },
  );

  fact('a removed instance is gone, removing it again is no error', async ({ first, second }) => {
    await first.fleet.heartbeat(migration, instance('a', 1), 1_000);
    await second.fleet.remove(migration, 'a');
    await second.fleet.remove(migration, 'a');
    assert.deepEqual((await first.fleet.list(migration)).instances, []);
  });
}

const counts = (minute: number, change: Partial<EvidenceCounts> = {}): EvidenceCounts => ({
  collection: 'customers',
  detector: 'shadow-read',
  minute,
  compared: 0,
  matched: 0,
  suspect: 0,
  confirmed: 0,
  shed: 0,
  timedOut: 0,
  failed: 0,
  ...change,
});

const mismatch = (key: string, change: Partial<Mismatch> = {}): Mismatch => ({
  collection: 'customers',
  key: JSON.stringify([key]),
  kind: 'different',
  status: 'suspect',
  detector: 'verify',
  differences: [],
  firstSeenMs: 1_000,
  lastSeenMs: 1_000,
  rechecks: 0,
  note: '',
  ...change,
});

const checkpoint = (change: Partial<BackfillCheckpoint> = {}): BackfillCheckpoint => ({
  collection: 'customers',
  generation: 1,
  frozenLast: '["9"]',
  doneUntil: null,
  nextChunk: 0,
  rowsRead: 0,
  rowsInserted: 0,
  rowsDead: 0,
  estimatedRows: 9_007_199_254_740_991,
  startedAtMs: 1_763_700_000_000,
  finishedAtMs: null,
  ...change,
});

function ledgerFacts(fact: Fact): void {
  fact('evidence that two processes add at once adds up', async ({ first, second }) => {
    const adds = Array.from({ length: 40 }, (_, index) =>
      (index % 2 === 0 ? first : second).evidence.add(migration, [
        counts(100, { compared: 3, matched: 2, suspect: 1 }),
        counts(101 - (index % 2), { collection: 'orders', compared: 1, timedOut: 1 }),
        counts(100, { compared: 2, shed: 5 }),
      ]),
    );
    await Promise.all(adds);
    const rows = await second.evidence.since(migration, 0);
    assert.deepEqual(rows, [
      counts(100, { compared: 200, matched: 80, suspect: 40, shed: 200 }),
      counts(100, { collection: 'orders', compared: 20, timedOut: 20 }),
      counts(101, { collection: 'orders', compared: 20, timedOut: 20 }),
    ]);
    assert.deepEqual(await first.evidence.since(migration, 101), rows.slice(2));
    await first.evidence.clear(migration);
    assert.deepEqual(await second.evidence.since(migration, 0), []);
  });

  fact('thousands of evidence rows and mismatches fit into one call', async ({ first }) => {
    const many = Array.from({ length: 2_500 }, (_, index) => index);
    await first.evidence.add(
      migration,
      many.map((minute) => counts(minute, { compared: 1 })),
    );
    assert.equal((await first.evidence.since(migration, 0)).length, 2_500);
    await first.mismatches.record(
      migration,
      many.map((key) => mismatch(String(key))),
    );
    assert.equal(await first.mismatches.count(migration, 'suspect'), 2_500);
    await first.mismatches.drop(
      migration,
      many.slice(1).map((key) => mismatch(String(key))),
    );
    assert.equal(await first.mismatches.count(migration, 'suspect'), 1);
    await first.evidence.add(migration, []);
    await first.mismatches.record(migration, []);
    await first.mismatches.drop(migration, []);
  });

  fact('a mismatch keeps what saw it first, and takes what was seen last', async (stores) => {
    const differences: Mismatch['differences'] = [
      { field: 'name', expected: 'Ärger "quoted" \u0000 🎬', actual: null },
    ];
    await stores.first.mismatches.record(migration, [mismatch('1'), mismatch('2')]);
    await stores.second.mismatches.record(migration, [
      mismatch('1', {
        status: 'open',
        kind: 'missing',
        detector: 'shadow-read',
        differences,
        firstSeenMs: 2_000,
        lastSeenMs: 2_000,
        rechecks: 3,
        note: 'seen again',
      }),
    ]);
    const open = await stores.first.mismatches.list(migration, { status: 'open', limit: 10 });
    assert.deepEqual(open, [
      mismatch('1', {
        status: 'open',
        kind: 'missing',
        differences,
        lastSeenMs: 2_000,
        rechecks: 3,
        note: 'seen again',
      }),
    ]);
    assert.equal(await stores.second.mismatches.count(migration, 'open'), 1);
    assert.equal(await stores.second.mismatches.count(migration, 'suspect'), 1);
    assert.equal((await stores.first.mismatches.list(migration, { limit: 1 })).length, 1);
    assert.equal((await stores.first.mismatches.list(migration, { limit: 10 })).length, 2);
    await stores.first.mismatches.drop(migration, open);
    assert.equal(await stores.second.mismatches.count(migration, 'open'), 0);
  });

  fact('a checkpoint comes back exactly, for its collection only', async ({ first, second }) => {
    assert.equal(await first.checkpoint(migration, 'customers'), null);
    await first.saveCheckpoint(migration, checkpoint());
    const later = checkpoint({
      doneUntil: '["ä🎬"]',
      nextChunk: 4,
      rowsRead: 20_000,
      finishedAtMs: 5,
    });
    await second.saveCheckpoint(migration, later);
    await second.saveCheckpoint(migration, checkpoint({ collection: 'orders' }));
    assert.deepEqual(await first.checkpoint(migration, 'customers'), later);
    assert.equal(await first.checkpoint('another', 'customers'), null);
  });

  fact(
    'a latecomer takes back neither a finished checkpoint nor one of a later generation',
    async ({ first, second }) => {
      const finished = checkpoint({ generation: 2, nextChunk: 4, finishedAtMs: 5 });
      await first.saveCheckpoint(migration, checkpoint({ generation: 2, nextChunk: 3 }));
      await first.saveCheckpoint(migration, finished);
      await second.saveCheckpoint(migration, checkpoint({ generation: 2, nextChunk: 3 }));
      await second.saveCheckpoint(migration, checkpoint({ generation: 1, finishedAtMs: 9 }));
      assert.deepEqual(await second.checkpoint(migration, 'customers'), finished);
      const next = checkpoint({ generation: 3 });
      await second.saveCheckpoint(migration, next);
      assert.deepEqual(await first.checkpoint(migration, 'customers'), next);
    },
  );
}
