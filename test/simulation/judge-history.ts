import { memoryLayout } from '../../src/adapters/memory/index.ts';
import { authorityOf, otherSide, routingTable, type Side } from '../../src/migration/index.ts';
import { encodeKey } from '../../src/record/index.ts';
import {
  checkHistory,
  type HistoryFaultKind,
  type HistoryVerdict,
} from '../../src/testing/history/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import type { Ledger } from './ledger.ts';
import type { World } from './world.ts';

const guaranteeOf: Readonly<Record<HistoryFaultKind, Violation['guarantee']>> = {
  'value from nowhere': 'G1',
  'no order': 'G1',
  'older than the token': 'G6',
  undecided: 'H',
};

/** At rest: whatever the stores hold now is read, and one order has to explain all that clients have seen. */
export function judgeHistory(world: World, ledger: Ledger): HistoryVerdict {
  readAtLast(world, ledger);
  const { collections } = world.migration;
  const { refuseEvery } = world.scenario;
  const verdict = checkHistory(ledger.recorder.history(), {
    // The operator of this world opens the dial also while a dead letter keeps a record from the follower.
    followerApart: (key) =>
      refuseEvery > 0 || collections.get(key.split(' ')[0]!)?.failureMode === 'fail-closed',
  });
  for (const { kind, key, text } of verdict.faults) {
    for (const line of text.split('\n')) world.say(line);
    world.judge('history', new Violation(guaranteeOf[kind], key, `${kind}\n${text}`));
  }
  return verdict;
}

/** The authority, and a follower that has everything. */
function readAtLast(world: World, ledger: Ledger): void {
  const { state } = world.truth;
  const phase = state?.phase ?? 'off';
  const authority = authorityOf(phase);
  const copied = !['off', 'shadow-write', 'dual-write', 'backfill'].includes(phase);
  const follows = routingTable[phase].follow === 'apply' && copied;
  for (const side of follows ? [authority, otherSide[authority]] : [authority]) {
    for (const [name, id] of keysOf(world)) {
      if (side !== authority && isDead(world, authority, name, id)) continue;
      ledger.recorder.read({
        key: `${name} ${id}`,
        value: world.truth.stampIn(side, name, encodeKey([id])),
        process: `the ${side}`,
        from: world.now,
        to: world.now,
        token: null,
        route: 'authority',
        epoch: state?.epoch ?? 1,
      });
    }
  }
}

function* keysOf({ scenario }: World): Generator<readonly [string, string]> {
  for (const name of ['items', 'orders'])
    for (let id = 0; id < scenario.keys; id++) yield [name, String(id)];
}

function isDead({ migration, databases }: World, side: Side, name: string, id: string): boolean {
  const { queue } = memoryLayout(migration.name, side);
  return [...databases[side].committedRows(queue)].some(
    ([, row]) => row.dead !== null && row.collection === name && row.key === encodeKey([id]),
  );
}
