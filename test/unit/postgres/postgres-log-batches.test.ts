import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PostgresLogBatches } from '../../../src/adapters/postgres/postgres-log-batches.ts';
import { memberName } from '../../../src/adapters/postgres/postgres-log-facts.ts';
import { positionAt } from '../../../src/adapters/postgres/postgres-lsn.ts';
import { postgresLayout } from '../../../src/adapters/postgres/postgres-schema.ts';
import { WireFrames } from '../../../src/adapters/postgres/postgres-wire-frames.ts';
import type { LogChange, LogCheckpoint, LogTable } from '../../../src/log/index.ts';

const layout = postgresLayout('shop', 'source');
const table: LogTable = { schema: 'public', name: 'items', columns: [] };
const members = new Set([memberName('public', 'items')]);
const start: LogCheckpoint = { identity: 'one', position: positionAt(100n), skip: 0 };

/** A transaction as the log has it. */
interface Transaction {
  readonly rows: number;
  readonly marked: boolean;
  readonly challenge: boolean;
  /** The server says where it is, behind it. */
  readonly told: boolean;
}

const ends = (transactions: readonly Transaction[]): readonly bigint[] =>
  transactions.map((_, index) => 1_000n + BigInt(index) * 1_000n);

/** Plays the log from a checkpoint on, as the server does: whole transactions behind it. Batches are taken after `every` row. */
function play(
  transactions: readonly Transaction[],
  from: LogCheckpoint,
  limits: { readonly changesMax: number; readonly whole: boolean; readonly every: number },
) {
  const batches = new PostgresLogBatches(layout, from, members, { ...limits, bytesMax: 1_000_000 });
  const taken: { readonly ids: readonly string[]; readonly checkpoint: LogCheckpoint }[] = [];
  const challenges: string[] = [];
  const take = (): void => {
    while (batches.any) {
      const batch = batches.take();
      taken.push({
        ids: batch.changes.map(({ after }) => String(after?.[0])),
        checkpoint: batch.checkpoint,
      });
      challenges.push(...batch.challenges);
    }
  };
  let steps = 0;
  transactions.forEach(({ rows, marked, challenge, told }, index) => {
    const sequence = ends(transactions)[index] ?? 0n;
    if (sequence < from.position.sequence + 1n) return;
    batches.begin(sequence, 0, String(index));
    if (marked) batches.message('changeover', 'shop');
    for (let row = 0; row < rows; row += 1) {
      const change: LogChange = {
        table,
        kind: 'insert',
        before: null,
        after: [`${index}.${row}`],
        sequence,
      };
      batches.change(change, 10);
      steps += 1;
      if (steps % limits.every === 0) take();
    }
    if (challenge) batches.message('changeover-challenge', `${layout.schema} ${index}`);
    batches.commit();
    if (told) batches.sent(sequence + 500n);
  });
  take();
  taken.push({ ids: [], checkpoint: batches.take().checkpoint });
  return { taken, challenges };
}

const anyLog = fc.array(
  fc.record({
    rows: fc.integer({ min: 0, max: 12 }),
    marked: fc.boolean(),
    challenge: fc.boolean(),
    told: fc.boolean(),
  }),
  { maxLength: 8 },
);
const anyLimits = fc.record({
  changesMax: fc.integer({ min: 1, max: 15 }),
  whole: fc.boolean(),
  every: fc.integer({ min: 1, max: 20 }),
});

test('read on from any checkpoint, with other limits, exactly what follows comes', () => {
  fc.assert(
    fc.property(anyLog, anyLimits, anyLimits, (log, limits, others) => {
      const expected = log.flatMap(({ rows, marked }, index) =>
        marked ? [] : Array.from({ length: rows }, (_, row) => `${index}.${row}`),
      );
      const { taken, challenges } = play(log, start, limits);
      expect(taken.flatMap(({ ids }) => ids)).toEqual(expected);
      expect(challenges).toHaveLength(log.filter(({ challenge }) => challenge).length);
      let seen = 0;
      let last = start.position.sequence;
      for (const { ids, checkpoint } of taken) {
        seen += ids.length;
        expect(checkpoint.position.sequence).toBeGreaterThanOrEqual(last);
        last = checkpoint.position.sequence;
        if (limits.whole) expect(checkpoint.skip).toBe(0);
        const rest = play(log, checkpoint, others).taken.flatMap((one) => one.ids);
        expect(rest).toEqual(expected.slice(seen));
      }
    }),
    { numRuns: 1_000 },
  );
});

test('messages of the server are cut wherever the chunks end', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 30 }),
      (bodies, cuts) => {
        const whole = Buffer.concat(
          bodies.map((body, index) => {
            const head = Buffer.alloc(5);
            head[0] = 65 + index;
            head.writeInt32BE(body.length + 4, 1);
            return Buffer.concat([head, body]);
          }),
        );
        const seen: string[] = [];
        const frames = new WireFrames((kind, data, from, to) =>
          seen.push(`${kind} ${data.subarray(from, to).toString('hex')}`),
        );
        for (let at = 0, cut = 0; at < whole.length; cut += 1) {
          const size = cuts[cut % cuts.length] ?? 1;
          frames.push(whole.subarray(at, at + size));
          at += size;
        }
        expect(seen).toEqual(
          bodies.map((body, index) => `${65 + index} ${Buffer.from(body).toString('hex')}`),
        );
      },
    ),
  );
});
