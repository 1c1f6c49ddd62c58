import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { expect, test } from 'vitest';
import { postgresControl } from '../../src/adapters/postgres/postgres-control-store.ts';
import { controlFormat } from '../../src/adapters/sql-control/control-schema.ts';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import type { ControlConnector, EvidenceDelta } from '../../src/control/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { query, withDatabases } from '../support/databases.ts';

const databases = withDatabases(1);
const added = ['class', 'fields', 'owner', 'ticket', 'detail', 'expires_ms'];
const counts = ['compared', 'matched', 'suspect', 'confirmed', 'shed', 'timed_out', 'failed'];

/** What brings a store back to format 2, as the release before wrote it, with one row of evidence. */
const formerly = (prefix: string): readonly string[] => [
  `drop table ${prefix}evidence_count`,
  `drop table ${prefix}evidence_latency`,
  `drop table ${prefix}sample`,
  ...added.map((column) => `alter table ${prefix}mismatch drop column ${column}`),
  `create table ${prefix}evidence (migration text not null, collection text not null, detector text not null, minute bigint not null,
     ${counts.map((count) => `${count} bigint not null`).join(', ')}, primary key (migration, collection, detector, minute))`,
  `insert into ${prefix}evidence values ('shop', 'items', 'shadow-read', 7, 9, 8, 1, 1, 0, 0, 0)`,
  `update ${prefix}format set version = 2`,
];

const delta = (subjects: readonly string[]): EvidenceDelta => ({
  collection: 'items',
  detector: 'shadow-read',
  minute: 8,
  fingerprint: 'f',
  compared: 1,
  matched: 1,
  suspect: 0,
  confirmed: 0,
  shed: 0,
  timedOut: 0,
  failed: 0,
  subjects,
});

async function staysUsable(
  connector: ControlConnector,
  bringBack: (statements: (prefix: string) => readonly string[]) => Promise<void>,
): Promise<void> {
  const first = await connector.connect(systemRuntime);
  const state = await first.load('shop');
  await first.close();
  await bringBack(formerly);
  const later = await connector.connect(systemRuntime);
  try {
    expect(await later.load('shop')).toEqual(state);
    await later.evidence.add('shop', [delta(['AAAAAAAA'])]);
    // What was counted then is kept, and counts for no comparator.
    expect(await later.evidence.since('shop', 0)).toMatchObject([
      { minute: 7, compared: 9, matched: 8, confirmed: 1, fingerprint: '' },
      { minute: 8, matched: 1, fingerprint: 'f' },
    ]);
    const of = { collection: 'items', detector: 'shadow-read', fromMinute: 0 };
    expect(await later.evidence.subjects('shop', { ...of, fingerprint: '' })).toEqual([]);
    expect(await later.evidence.subjects('shop', { ...of, fingerprint: 'f' })).toHaveLength(1);
    expect(await later.mismatches.list('shop', { limit: 1 })).toEqual([]);
  } finally {
    await later.close();
  }
}

test('a control store of format 2 in SQLite goes on working, and its evidence proves nothing new', async () => {
  expect(controlFormat).toBeGreaterThanOrEqual(5);
  const folder = mkdtempSync(join(tmpdir(), 'changeover-upgrade-'));
  const file = join(folder, 'control.db');
  await staysUsable(sqlite({ file }), async (statements) => {
    const database = new Database(file);
    for (const statement of statements('')) database.exec(statement);
    database.close();
  });
  rmSync(folder, { recursive: true });
});

test('a control store of format 2 in PostgreSQL goes on working, and its evidence proves nothing new', async () => {
  const url = databases.url(0);
  await staysUsable(postgresControl({ url }), async (statements) => {
    for (const statement of statements('changeover_control.')) await query(url, statement);
  });
});
