import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import type { ControlStore } from '../../src/control/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';

let folder: string;
let control: ControlStore;
let other: Database.Database;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'changeover-contention-'));
  const file = join(folder, 'control.sqlite');
  control = await sqlite({ file }).connect(systemRuntime);
  await control.load('m');
  other = new Database(file);
});

afterEach(async () => {
  other.close();
  await control.close();
  rmSync(folder, { recursive: true, force: true });
});

test('a single write that met another writer leaves no old snapshot behind', async () => {
  const beat = { id: 'a', kind: 'router', label: 'a', acknowledgedVersion: 1 } as const;
  other.exec('begin immediate');
  const waiting = control.fleet.heartbeat('m', beat, 1_000);
  await new Promise((resolve) => setTimeout(resolve, 60));
  other.exec('commit');
  await waiting;
  await control.load('m');
  other.exec("update migration_state set state = json_set(state, '$.workHeld', json('true'))");
  expect((await control.load('m')).workHeld).toBe(true);
  await control.fleet.heartbeat('m', beat, 1_000);
});
