import pg from 'pg';
import type { Side } from '../../src/demo/store-snapshot.ts';
import type { VersionedWrite } from './authority-epochs.ts';

/** One row that a guard has had, in force from `from` to `to`. */
export interface GuardSpell {
  readonly side: Side;
  readonly role: string;
  readonly epoch: bigint;
  readonly attempt: string | null;
  /** Commit, in microseconds of the host's clock, which all servers share; infinity for the end of the present row. */
  readonly from: number;
  readonly to: number;
  /** The last number that the store's sequence of versions had given out at the beginning and at the end; null: it goes on. */
  readonly firstSequence: bigint;
  readonly lastSequence: bigint | null;
}

const historyDdl = (side: Side): string => `
CREATE SCHEMA chaos_judge;
CREATE TABLE chaos_judge.guard_history (
  id bigserial PRIMARY KEY, role text, epoch int, attempt text, sequence bigint, xid xid8 DEFAULT pg_current_xact_id());
CREATE FUNCTION chaos_judge.remember() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos_judge.guard_history (role, epoch, attempt, sequence)
    SELECT NEW.role, NEW.epoch, NEW.attempt, last_value FROM changeover_shop_${side}.version;
  RETURN NULL;
END $$;
CREATE TRIGGER chaos_judge AFTER UPDATE ON changeover_shop_${side}.guard
  FOR EACH ROW EXECUTE FUNCTION chaos_judge.remember();
INSERT INTO chaos_judge.guard_history (role, epoch, attempt, sequence)
  SELECT role, epoch, attempt, last_value FROM changeover_shop_${side}.guard, changeover_shop_${side}.version`;

/** Has a store remember every row that its guard ever has, in the transaction that writes it. The server needs `track_commit_timestamp`. */
export async function rememberGuard(url: string, side: Side): Promise<void> {
  await query(url, historyDdl(side));
}

/** Everything that a guard has been since, oldest first. */
export async function guardHistory(url: string, side: Side): Promise<readonly GuardSpell[]> {
  const rows = await query(
    url,
    `SELECT role, epoch, attempt, sequence,
        (extract(epoch FROM pg_xact_commit_timestamp(xid::xid)) * 1000000)::bigint AS at
       FROM chaos_judge.guard_history ORDER BY id`,
  );
  return rows.map((row, index) => {
    const next = rows[index + 1];
    return {
      side,
      role: row['role'] ?? '',
      epoch: BigInt(row['epoch'] ?? 0),
      attempt: row['attempt'] ?? null,
      from: Number(row['at']),
      to: next ? Number(next['at']) : Number.POSITIVE_INFINITY,
      firstSequence: BigInt(row['sequence'] ?? 0),
      lastSequence: next ? BigInt(next['sequence'] ?? 0) : null,
    };
  });
}

/**
 * At no moment do both guards say `authority`. The one exception of the specification (C4): an attempt whose undo could not reach the
 * new store and said so, `leftOpen`.
 */
export function judgeGuards(
  spells: readonly GuardSpell[],
  leftOpen: ReadonlySet<string>,
): readonly string[] {
  const of = (side: Side): readonly GuardSpell[] =>
    spells.filter((spell) => spell.side === side && spell.role === 'authority');
  return of('source').flatMap((one) =>
    of('target')
      .filter((other) => Math.max(one.from, other.from) < Math.min(one.to, other.to))
      .filter((other) => !leftOpen.has(one.attempt ?? '') && !leftOpen.has(other.attempt ?? ''))
      .map((other) => `two guards say authority: ${describe(one)} and ${describe(other)}`),
  );
}

/**
 * Every acknowledged write got its version while its store was the authority of its epoch: after a seal nothing routed by the old epoch is
 * acknowledged, whoever slept with it in his hand. Exact, because a seal waits for every write that was let in.
 */
export function judgeVersions(
  spells: readonly GuardSpell[],
  writes: readonly VersionedWrite[],
): readonly string[] {
  const reigns = spells.filter(({ role }) => role === 'authority');
  return writes
    .filter(
      ({ epoch, sequence }) =>
        !reigns.some(
          (reign) =>
            reign.epoch === epoch &&
            reign.firstSequence <= sequence &&
            (reign.lastSequence === null || sequence <= reign.lastSequence),
        ),
    )
    .map(
      ({ op, epoch, sequence }) =>
        `write ${op} was acknowledged with version ${epoch}.${sequence}, which no authority gave out`,
    );
}

/** `source authority/2/ab12 from …`, for accounts. */
export function describe({ side, role, epoch, attempt, from, to }: GuardSpell): string {
  const time = (at: number): string =>
    Number.isFinite(at) ? new Date(at / 1_000).toISOString().slice(14, 23) : 'now';
  return `${side} ${role}/${epoch}/${attempt?.slice(0, 6) ?? '-'} ${time(from)} … ${time(to)}`;
}

async function query(
  url: string,
  sql: string,
): Promise<readonly Readonly<Record<string, string | null>>[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'chaos-judge' });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, string | null>>(sql);
    return rows;
  } finally {
    await client.end();
  }
}
