import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import type { ControlStore } from '../../src/control/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';

/** The tables as release 0.1 wrote them, format 2, word for word. */
const FORMAT_2 = `
  CREATE TABLE format (id integer PRIMARY KEY, version integer NOT NULL);
  INSERT INTO format VALUES (1, 2);
  CREATE TABLE migration_state (migration text PRIMARY KEY, version bigint NOT NULL, state text NOT NULL);
  CREATE TABLE audit (id integer PRIMARY KEY AUTOINCREMENT, migration text NOT NULL, state_version bigint, at_ms bigint NOT NULL, actor text NOT NULL,
    action text NOT NULL, reason text NOT NULL, detail text NOT NULL, UNIQUE (migration, state_version));
  CREATE TABLE checkpoint (migration text NOT NULL, collection text NOT NULL, body text NOT NULL, PRIMARY KEY (migration, collection));
  CREATE TABLE instance (migration text NOT NULL, id text NOT NULL, kind text NOT NULL, label text NOT NULL, acknowledged_version bigint NOT NULL,
    last_seen_ms bigint NOT NULL, lease_until_ms bigint NOT NULL, report text, PRIMARY KEY (migration, id));
  CREATE TABLE evidence (migration text NOT NULL, collection text NOT NULL, detector text NOT NULL, minute bigint NOT NULL, compared bigint NOT NULL,
    matched bigint NOT NULL, suspect bigint NOT NULL, confirmed bigint NOT NULL, shed bigint NOT NULL, timed_out bigint NOT NULL, failed bigint NOT NULL,
    PRIMARY KEY (migration, collection, detector, minute));
  INSERT INTO evidence VALUES ('shop', 'items', 'verify', 7, 10, 9, 1, 1, 0, 0, 0);
  CREATE TABLE mismatch (migration text NOT NULL, collection text NOT NULL, key text NOT NULL, kind text NOT NULL, status text NOT NULL,
    detector text NOT NULL, differences text NOT NULL, first_seen_ms bigint NOT NULL, last_seen_ms bigint NOT NULL, rechecks bigint NOT NULL, note text NOT NULL,
    PRIMARY KEY (migration, collection, key));
  INSERT INTO mismatch VALUES
    ('shop', 'items', '["1"]', 'different', 'open', 'verify', '[{"field":"name","expected":"a","actual":"b"}]', 1, 2, 3, ''),
    ('shop', 'items', '["2"]', 'missing', 'open', 'shadow-read', '[]', 2, 2, 1, ''),
    ('shop', 'items', '["3"]', 'different', 'explained', 'verify', '[]', 3, 3, 1, 'by hand');`;

const folder = mkdtempSync(join(tmpdir(), 'changeover-upgrade-'));
let store: ControlStore | null = null;
afterEach(async () => {
  await store?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('a control store of format 2 is brought up, and its mismatches go on', async () => {
  const file = join(folder, 'control.db');
  const database = new Database(file);
  database.exec(FORMAT_2);
  database.close();
  store = await sqlite({ file }).connect(systemRuntime);
  const { mismatches } = store;
  const lines = await mismatches.list('shop', { limit: 10 });
  expect(lines.map((line) => [line.key, line.status, line.class, line.owner])).toEqual([
    ['["1"]', 'open', 'unknown', null],
    ['["2"]', 'open', 'missing', null],
    ['["3"]', 'explained', 'unknown', null],
  ]);
  // Nobody said until when: such an explanation does not open a gate.
  expect(await mismatches.count('shop', 'unexplained')).toBe(3);
  expect((await mismatches.tally('shop')).reduce((sum, { count }) => sum + count, 0)).toBe(3);
  const [first] = lines;
  if (first === undefined) throw new Error('no line');
  const [seen] = [{ ...first, class: 'collation' as const, lastSeenMs: 9 }];
  await mismatches.record('shop', [seen]);
  expect(await mismatches.list('shop', { class: 'collation', limit: 10 })).toHaveLength(1);
  expect(await mismatches.list('shop', { field: 'name', limit: 10 })).toHaveLength(1);
  const taken = { by: 'ada', atMs: 10, to: 'investigating', owner: 'ada' } as const;
  await mismatches.decide('shop', lines.slice(0, 2), taken);
  expect(await mismatches.count('shop', 'investigating')).toBe(2);
  expect(await store.evidence.since('shop', 0)).toMatchObject([{ compared: 10, minute: 7 }]);
});
