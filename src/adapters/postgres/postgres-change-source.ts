import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type {
  ChangeSource,
  ChangeStream,
  LogRetention,
  LogStart,
  OpenStream,
} from '../../log/index.ts';
import { PostgresChangeStream } from './postgres-change-stream.ts';
import type { PostgresOptions } from './postgres-connections.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { PostgresLogBatches } from './postgres-log-batches.ts';
import { checkLog, isLost, readLogFacts } from './postgres-log-facts.ts';
import { CHALLENGE_PREFIX, challengeText } from './postgres-log-mark.ts';
import { dropStream, endReader, installStream, streamsOf } from './postgres-log-objects.ts';
import { positionAt } from './postgres-lsn.ts';
import { openReplication } from './postgres-replication.ts';

/** So long an earlier reader may take to let go of the slot. */
const TAKE_OVER_MS = 15_000;
const LOOK_MS = 20;
/** With less than this part of its limit left a slot is at risk. */
const RISK_RATIO = 0.25;
/** The longest head of a log page; no record that ends within so much of a page began on it. */
const PAGE_HEAD_BYTES = 40n;

/**
 * Logical replication of one PostgreSQL database: a publication and a slot of one name for each stream, decoded by `pgoutput`. Why this protocol version, and what the positions
 * are: docs/design/log-capture.md.
 */
export function createPostgresChangeSource(
  parts: PostgresStoreParts,
  options: PostgresOptions,
): ChangeSource {
  const { layout } = parts;
  return {
    install: (stream, lockTimeoutMs): Promise<LogStart> =>
      installStream(parts, stream, lockTimeoutMs),
    remove: (stream) => dropStream(parts, stream),
    installed: () => streamsOf(parts),
    open: (wanted) => open(parts, options, wanted),

    async end() {
      const { end, flushed } = await logEnd(parts);
      // What is not on disk is not sent, and for a while nothing may come that flushes it.
      if (!flushed) await emit(parts, challengeText(layout, ''));
      return positionAt(end - 1n);
    },

    challenge: (token) => emit(parts, challengeText(layout, token)),

    async retention(stream): Promise<LogRetention> {
      const facts = await readLogFacts(parts, stream);
      const { slot, end } = facts;
      if (slot === null || isLost(slot)) return { retainedBytes: 0, leftBytes: 0, state: 'lost' };
      const retainedBytes = Math.max(0, Number(end - (slot.restart ?? end)));
      const { leftBytes, walStatus } = slot;
      const near = leftBytes !== null && leftBytes < RISK_RATIO * (leftBytes + retainedBytes);
      const state = walStatus === 'unreserved' || near ? 'at-risk' : 'kept';
      return {
        retainedBytes,
        leftBytes: leftBytes === null ? null : Math.max(0, leftBytes),
        state,
      };
    },
  };
}

async function open(
  parts: PostgresStoreParts,
  options: PostgresOptions,
  wanted: OpenStream,
): Promise<ChangeStream> {
  const { stream, from, ...limits } = wanted;
  const { runtime } = parts.session;
  const since = { identity: from.identity, next: from.position.sequence + 1n };
  const until = runtime.clock.monotonic() + TAKE_OVER_MS;
  for (;;) {
    const facts = await readLogFacts(parts, stream);
    checkLog(facts, stream, since);
    if (facts.slot?.reader) await endReader(parts, stream, TAKE_OVER_MS);
    const members = facts.publication?.members ?? new Set();
    const batches = new PostgresLogBatches(parts.layout, from, members, limits);
    const reader = new PostgresChangeStream(runtime, batches, async () =>
      // Its own confirmations move the slot, so where it stands says nothing here.
      checkLog(await readLogFacts(parts, stream), stream, { ...since, next: null }),
    );
    try {
      const start = { name: stream, from: since.next };
      reader.reads(await openReplication(options, runtime, start, reader));
      return reader;
    } catch (error) {
      await reader.close();
      // Another process took the slot between the look and us.
      const again = isChangeoverError(error, 'STORE_CONFLICT');
      if (!again || runtime.clock.monotonic() >= until) throw error;
      await runtime.clock.sleep(LOOK_MS);
    }
  }
}

/** Where the next record will begin, and whether everything before it is on disk. */
async function logEnd({
  session,
}: PostgresStoreParts): Promise<{ readonly end: bigint; readonly flushed: boolean }> {
  const { rows } = await session.query(
    `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_current_wal_flush_lsn() - '0/0'::pg_lsn, current_setting('wal_block_size')`,
    [],
    { what: 'end of the log' },
  );
  const [insert, flush, block] = (rows[0] ?? []).map((value) => BigInt(value ?? 0));
  if (insert === undefined || flush === undefined || !block) {
    throw new ChangeoverError('BUG', 'The server does not say where its log ends.');
  }
  // At the head of a page: what was written before ends with the page before, and that is as far as a reader is told of.
  const offset = insert % block;
  const end = offset <= PAGE_HEAD_BYTES ? insert - offset : insert;
  return { end, flushed: flush >= end };
}

async function emit({ session }: PostgresStoreParts, content: string): Promise<void> {
  await session.run(
    [
      // Flushed here, and without waiting for standbys: only what is flushed is sent.
      { text: `SELECT pg_catalog.set_config('synchronous_commit', 'local', true)` },
      {
        text: 'SELECT pg_catalog.pg_logical_emit_message(true, $1::text, $2::text)',
        values: [CHALLENGE_PREFIX, content],
      },
    ],
    { what: 'challenge' },
  );
}
