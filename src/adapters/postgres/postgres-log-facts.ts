import { ChangeoverError } from '../../errors/index.ts';
import type { Scalar } from '../../record/index.ts';
import { quoteTable } from './postgres-catalog-query.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import type { SqlResult } from './postgres-flight.ts';
import { lsnText } from './postgres-lsn.ts';
import { parseTextArray, textArray } from './postgres-text.ts';

/** A replication slot as the server shows it. */
export interface SlotFacts {
  /** Ours, and of this database. */
  readonly usable: boolean;
  /** Backend that reads it; null: nobody. */
  readonly reader: number | null;
  /** null: its log is gone, or it is still being created. */
  readonly restart: bigint | null;
  /** Transactions whose commit record begins before it are not sent any more; null: it is still being created. */
  readonly confirmed: bigint | null;
  /** `reserved`, `extended`, `unreserved`, `lost`. */
  readonly walStatus: string;
  /** Bytes until it may be lost; null: no limit. */
  readonly leftBytes: number | null;
}

export interface PublicationFacts {
  /** Publishes inserts, updates, deletes and truncates, by the root of partitions, without filters and column lists. */
  readonly complete: boolean;
  /** Tables that are there but not in it, as the configuration calls them. */
  readonly missing: readonly string[];
  /** Its members: schema and name as JSON. */
  readonly members: ReadonlySet<string>;
}

/** What a stream is made of, at one moment. */
export interface LogFacts {
  readonly standby: boolean;
  /** Of the server, its timeline, the database, and the publication with its members; null: there is no publication. */
  readonly identity: string | null;
  /** End of the log. */
  readonly end: bigint;
  readonly slot: SlotFacts | null;
  readonly publication: PublicationFacts | null;
  /** Tables of the configuration that are not there. */
  readonly absent: readonly string[];
}

/** How `PublicationFacts.members` names a table. */
export const memberName = (schema: string, name: string): string => JSON.stringify([schema, name]);

/** Every table that is captured from the log, as the configuration calls it. */
export function loggedTables({ catalog, logged }: PostgresStoreParts): readonly string[] {
  const tables = catalog.collections
    .filter((name) => logged.has(name))
    .map((name) => catalog.shape(name))
    .flatMap(({ table, children }) => [
      table,
      ...Object.values(children ?? {}).map((child) => child.table),
    ]);
  return [...new Set(tables)];
}

// A dropped and newly created publication or member has another number: what was not published in between left no other trace. The timeline
// changes with every promotion and every restore to a point in time. Filters and column lists are columns since PostgreSQL 15.
const FACTS = `
SELECT pg_is_in_recovery(),
  c.system_identifier || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
    || '/' || d.oid || '/' || p.oid || '/' || left(md5(coalesce(
      (SELECT string_agg(r.oid::text, ' ' ORDER BY r.oid) FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid), '')), 12),
  CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_current_wal_insert_lsn() - '0/0'::pg_lsn END,
  k.slot_name, k.plugin = 'pgoutput' AND k.database = d.datname AND NOT k.temporary, k.active_pid,
  k.restart_lsn - '0/0'::pg_lsn, k.confirmed_flush_lsn - '0/0'::pg_lsn, k.wal_status, k.safe_wal_size,
  p.oid, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_publication_rel r
    WHERE r.prpubid = p.oid AND (to_jsonb(r) ->> 'prqual' IS NOT NULL OR to_jsonb(r) ->> 'prattrs' IS NOT NULL)),
  (SELECT array_agg(w.name) FROM unnest($2::text[], $3::text[]) AS w(name, quoted)
    WHERE pg_catalog.to_regclass(w.quoted) IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_publication_rel r
      WHERE r.prpubid = p.oid AND r.prrelid = pg_catalog.to_regclass(w.quoted))),
  (SELECT json_agg(json_build_array(n.nspname, t.relname)) FROM pg_catalog.pg_publication_rel r
    JOIN pg_catalog.pg_class t ON t.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE r.prpubid = p.oid),
  (SELECT array_agg(w.name) FROM unnest($2::text[], $3::text[]) AS w(name, quoted)
    WHERE pg_catalog.to_regclass(w.quoted) IS NULL)
FROM pg_control_system() c
CROSS JOIN pg_catalog.pg_database d
LEFT JOIN pg_catalog.pg_publication p ON p.pubname = $1
LEFT JOIN pg_catalog.pg_replication_slots k ON k.slot_name = $1
WHERE d.datname = current_database()`;

/** Slot and publication of this name, and the server that they are on. */
export async function readLogFacts(parts: PostgresStoreParts, stream: string): Promise<LogFacts> {
  const { text, values } = factsStatement(parts, stream);
  const result = await parts.session.query(text, values, { what: `look at stream "${stream}"` });
  return toLogFacts(result);
}

/** The look itself, for a transaction; `toLogFacts` reads its answer. */
export function factsStatement(
  parts: PostgresStoreParts,
  stream: string,
): { readonly text: string; readonly values: readonly string[] } {
  const tables = loggedTables(parts);
  return {
    text: FACTS,
    values: [stream, textArray(tables), textArray(tables.map(quoteTable))],
  };
}

export function toLogFacts({ rows }: SqlResult): LogFacts {
  const [standby, identity, end, ...rest] = rows[0] ?? [];
  const [slot, usable, reader, restart, confirmed, walStatus, left, ...published] = rest;
  const [publication, complete, missing, members, absent] = published;
  return {
    standby: standby === 't',
    identity: identity ?? null,
    end: BigInt(end ?? 0),
    slot:
      (slot ?? null) === null
        ? null
        : {
            usable: usable === 't',
            reader: reader ? Number(reader) : null,
            restart: lsnOf(restart),
            confirmed: lsnOf(confirmed),
            walStatus: walStatus ?? 'lost',
            leftBytes: left ? Number(left) : null,
          },
    publication:
      (publication ?? null) === null
        ? null
        : {
            complete: complete === 't',
            missing: namesIn(missing),
            members: new Set(
              (JSON.parse(members ?? '[]') as [string, string][]).map((one) => memberName(...one)),
            ),
          },
    absent: namesIn(absent),
  };
}

function namesIn(array: Scalar | undefined): readonly string[] {
  return parseTextArray(array ?? '{}').map((name) => name ?? '');
}

function lsnOf(value: Scalar | undefined): bigint | null {
  return value === null || value === undefined ? null : BigInt(value);
}

/** A slot whose log was cut off. One that is still being created has not begun to keep any. */
export function isLost({ restart, walStatus }: SlotFacts): boolean {
  return walStatus === 'lost' || restart === null;
}

/** A follower's checkpoint: `next` is the LSN to read on from; null: only the identity is looked at. */
export interface ReadFrom {
  readonly identity: string;
  readonly next: bigint | null;
}

/**
 * Throws unless everything from there on (null: from where the slot stands) can still be read: LOG_LOST, SCHEMA_CHANGED for a table that is gone or was
 * renamed, STORE_UNAVAILABLE on a standby.
 */
export function checkLog(facts: LogFacts, stream: string, from: ReadFrom | null): void {
  if (facts.standby) {
    throw new ChangeoverError(
      'STORE_UNAVAILABLE',
      'The server is a standby: its log is read at the primary.',
    );
  }
  const lost = (message: string): ChangeoverError =>
    new ChangeoverError('LOG_LOST', message, { data: { stream } });
  const object = lostObject(facts, stream);
  if (object !== null) throw lost(object);
  if (facts.absent.length > 0) {
    throw new ChangeoverError(
      'SCHEMA_CHANGED',
      `There is no table ${facts.absent.join(', ')} any more: dropped or renamed while its changes were captured.`,
      { data: { stream, tables: facts.absent } },
    );
  }
  const position = from === null ? null : lostPosition(facts, stream, from);
  if (position !== null) throw lost(position);
}

function lostObject({ slot, publication }: LogFacts, stream: string): string | null {
  if (slot === null) return `Slot "${stream}" is gone.`;
  if (!slot.usable) return `Slot "${stream}" is not one of ours in this database.`;
  if (isLost(slot)) {
    return `Slot "${stream}" was invalidated (wal_status ${slot.walStatus}): the server cut its log off, see max_slot_wal_keep_size and idle_replication_slot_timeout.`;
  }
  if (publication === null) return `Publication "${stream}" is gone.`;
  if (publication.missing.length > 0) {
    return `Publication "${stream}" lacks ${publication.missing.join(', ')}: taken out, or the table was dropped and created again.`;
  }
  return publication.complete
    ? null
    : `Publication "${stream}" was altered: it leaves changes out.`;
}

function lostPosition(
  { identity, slot, end }: LogFacts,
  stream: string,
  from: ReadFrom,
): string | null {
  if (identity !== from.identity) {
    return `It is another log than the follower's checkpoint is of (now ${identity}, then ${from.identity}: system / timeline / database / publication / members): the server was restored, failed over or replaced, or the publication was.`;
  }
  if (from.next === null) return null;
  const there = lsnText(from.next - 1n);
  const confirmed = slot?.confirmed ?? null;
  if (confirmed !== null && confirmed > from.next) {
    return `Slot "${stream}" begins at ${lsnText(confirmed)}, behind the follower's checkpoint ${there}: it was created again or moved on by somebody else, or the follower was restored.`;
  }
  if (from.next <= end + 1n) return null;
  return `The server's log ends at ${lsnText(end)}, before the follower's checkpoint ${there}: the server was restored.`;
}
