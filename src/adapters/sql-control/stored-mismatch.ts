import {
  classedFields,
  type MismatchKind,
  type MismatchLine,
  type MismatchStatus,
  type MismatchTally,
} from '../../control/index.ts';
import type { FieldDifference, MismatchClass } from '../../record/index.ts';
import type { ControlTables } from './control-tables.ts';

type Row = ControlTables['mismatch'];

/** What is neither sought nor counted by. */
type Detail = Partial<Pick<MismatchLine, 'versions' | 'explainedAs' | 'before' | 'turns'>>;

/** A line as a row. */
export function rowOf(migration: string, line: MismatchLine): Row {
  const { versions, explainedAs, before, turns } = line;
  const detail: Detail = {
    ...(versions === undefined ? {} : { versions }),
    explainedAs,
    before,
    turns,
  };
  return {
    migration,
    collection: line.collection,
    key: line.key,
    kind: line.kind,
    status: line.status,
    detector: line.detector,
    differences: JSON.stringify(line.differences),
    first_seen_ms: line.firstSeenMs,
    last_seen_ms: line.lastSeenMs,
    rechecks: line.rechecks,
    note: line.note,
    class: line.class,
    fields: JSON.stringify(classedFields(line).map((one) => [one.field, one.class])),
    owner: line.owner,
    ticket: line.ticket,
    expires_ms: line.expiresMs,
    detail: JSON.stringify(detail),
  };
}

/** A row as a line; rows of earlier formats have no class, and nobody who explained them. */
export function lineOf(row: Row): MismatchLine {
  const kind = row.kind as MismatchKind;
  const detail = JSON.parse(row.detail ?? '{}') as Detail;
  return {
    collection: row.collection,
    key: row.key,
    kind,
    class: classOf(row),
    status: row.status as MismatchStatus,
    detector: row.detector,
    differences: JSON.parse(row.differences) as readonly FieldDifference[],
    ...(detail.versions === undefined ? {} : { versions: detail.versions }),
    firstSeenMs: row.first_seen_ms,
    lastSeenMs: row.last_seen_ms,
    rechecks: row.rechecks,
    note: row.note,
    owner: row.owner,
    ticket: row.ticket,
    expiresMs: row.expires_ms,
    explainedAs: detail.explainedAs ?? null,
    before: detail.before ?? null,
    turns: detail.turns ?? [],
  };
}

/** A group of rows. */
export function tallyOf(
  row: Pick<Row, 'collection' | 'kind' | 'class' | 'fields' | 'status'>,
  count: number,
): MismatchTally {
  const fields = JSON.parse(row.fields ?? '[]') as readonly [string, MismatchClass][];
  return {
    collection: row.collection,
    status: row.status as MismatchStatus,
    kind: row.kind as MismatchKind,
    class: classOf(row),
    fields: fields.map(([field, of]) => ({ field, class: of })),
    count,
  };
}

function classOf(row: Pick<Row, 'class' | 'kind'>): MismatchClass {
  if (row.class !== null) return row.class as MismatchClass;
  return row.kind === 'different' ? 'unknown' : (row.kind as 'missing' | 'extra');
}
