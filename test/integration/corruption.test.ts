import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { damageCounts } from '../../bench/corruption/judge.ts';
import { chinookPair } from '../../bench/corruption/pairs.ts';
import { corruptionRounds } from '../../bench/corruption/round.ts';
import { withDatabases } from '../support/databases.ts';
import { missing } from '../support/requirements.ts';

const seed = Number(process.env['CHANGEOVER_SEED'] ?? 5);
const count = 64;
const noPgbench = (): boolean =>
  missing('pgbench', spawnSync('pgbench', ['--version']).error === undefined);

describe.each(['app', 'log'] as const)('with capture "%s"', (capture) => {
  const databases = withDatabases(2);

  test.skipIf(capture === 'log' && noPgbench())(
    'of 64 damages of every class behind the door’s back all are found beside traffic, none is invented, each is called by its name, all are repaired',
    async () => {
      const [source, target] = [databases.url(0), databases.url(1)];
      const pair = await chinookPair(
        { source, target },
        { source: (sql) => databases.query(0, sql), target: (sql) => databases.query(1, sql) },
        'shop',
      );
      const [round] = await corruptionRounds(pair, {
        count,
        seeds: [seed],
        capture,
        delaysMs: [20, 100],
      });
      if (!round) throw new Error('There is a round for each seed.');
      const { judgement } = round;
      const { overwritten, found } = judgement;
      const told = `seed ${seed}: ${JSON.stringify([judgement.misnamed, judgement.overlooked, round.unexplained])}`;
      expect(Object.keys(damageCounts(round.damages)), told).toHaveLength(16);
      expect(judgement, told).toMatchObject({ done: count, overlooked: [], invented: [] });
      // Traffic may write over the few that were done where it writes.
      expect(overwritten, told).toBeLessThanOrEqual(capture === 'log' ? 3 : 0);
      expect(found + overwritten, told).toBe(count);
      expect(judgement.rightlyNamed, told).toBeGreaterThanOrEqual(0.95);
      expect(round, told).toMatchObject({ left: 0, unexplained: [] });
      expect(round.repaired + round.healed, told).toBe(found);
      if (capture === 'log') expect(round.aligned).toBe(round.collections);
      expect(round.writes).toBeGreaterThan(10);
    },
  );
});
