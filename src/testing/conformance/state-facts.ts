import assert from 'node:assert/strict';
import type { MigrationState } from '../../migration/index.ts';
import { advance, audit, instance, toggled } from './control-steps.ts';
import { type ControlFact, migration } from './control-store-subject.ts';

/** One state for every process, changed by one of those that try, with its audit. */
export function stateFacts(fact: ControlFact): void {
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
