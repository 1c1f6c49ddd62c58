import {
  type AuditEntry,
  type BackfillCheckpoint,
  type ControlStore,
  isNewerCheckpoint,
  type NewAuditEntry,
} from '../../control/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { initialState } from '../../migration/index.ts';
import { ensureControlSchema } from './control-schema.ts';
import type { ControlTransaction, SqlControlEngine } from './sql-control-engine.ts';
import { createSqlEvidence } from './sql-evidence.ts';
import { createSqlFleet } from './sql-fleet.ts';
import { createSqlGaps } from './sql-gaps.ts';
import { createSqlMemos } from './sql-memos.ts';
import { createSqlMismatches } from './sql-mismatches.ts';
import { createSqlSamples } from './sql-samples.ts';
import { watchState } from './state-watch.ts';
import { parseState } from './stored-state.ts';

/**
 * The control store in an SQL database. Opens lazily: the schema is looked at with the first call, and again after a failure, so
 * that a process can start while the control store is away and find it later.
 */
export function createSqlControlStore(engine: SqlControlEngine): ControlStore {
  let schema: Promise<void> | null = null;
  let closed = false;
  const unwatch = new Set<() => void>();
  const ready = (): Promise<void> => {
    if (closed) {
      return Promise.reject(
        new ChangeoverError('CLOSED', `The control store ${engine.display} was closed.`),
      );
    }
    schema ??= ensureControlSchema(engine).catch((error: unknown) => {
      schema = null;
      throw error;
    });
    return schema;
  };
  const states = stateMethods(engine, ready);
  return {
    display: engine.display,
    ...states,
    ...auditMethods(engine, ready),
    ...checkpointMethods(engine, ready),
    watch(migration, onState, onError) {
      const end = watchState(engine, states.load, migration, onState, onError);
      const once = (): void => {
        unwatch.delete(once);
        end();
      };
      unwatch.add(once);
      return once;
    },
    fleet: createSqlFleet(engine, ready),
    evidence: createSqlEvidence(engine, ready),
    mismatches: createSqlMismatches(engine, ready),
    gaps: createSqlGaps(engine, ready),
    samples: createSqlSamples(engine, ready),
    memos: createSqlMemos(engine, ready),
    async close() {
      closed = true;
      for (const end of unwatch) end();
      await engine.close();
    },
  };
}

type Ready = () => Promise<void>;

const SAVE_TRIES_MAX = 20;

function stateMethods(
  engine: SqlControlEngine,
  ready: Ready,
): Pick<ControlStore, 'load' | 'commit'> {
  return {
    async load(migration) {
      await ready();
      const find = (): Promise<{ readonly state: string } | undefined> =>
        engine.run('loading the state', (db) =>
          db
            .selectFrom('migration_state')
            .select('state')
            .where('migration', '=', migration)
            .executeTakeFirst(),
        );
      let row = await find();
      if (row === undefined) {
        const first = initialState(migration);
        await engine.transaction('storing the first state', (db) =>
          db
            .insertInto('migration_state')
            .values({ migration, version: first.version, state: JSON.stringify(first) })
            .onConflict((conflict) => conflict.column('migration').doNothing())
            .execute(),
        );
        row = await find();
      }
      return row === undefined ? initialState(migration) : parseState(engine.display, row.state);
    },

    async commit(next, entry) {
      await ready();
      if (engine.changeState !== null) return engine.changeState(next, entry);
      return engine.transaction('changing the state', async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable('migration_state')
          .set({ version: next.version, state: JSON.stringify(next) })
          .where('migration', '=', next.migration)
          .where('version', '=', next.version - 1)
          .executeTakeFirst();
        if (numUpdatedRows !== 1n) return false;
        await insertAudit(engine, tx, next.migration, next.version, entry);
        await engine.notify(tx, next.migration);
        return true;
      });
    },
  };
}

function auditMethods(
  engine: SqlControlEngine,
  ready: Ready,
): Pick<ControlStore, 'note' | 'history'> {
  return {
    async note(migration, entry) {
      await ready();
      await engine.transaction('writing the audit', (tx) =>
        insertAudit(engine, tx, migration, null, entry),
      );
    },

    async history(migration, limit) {
      await ready();
      const rows = await engine.run('reading the audit', (db) =>
        db
          .selectFrom('audit')
          .selectAll()
          .where('migration', '=', migration)
          .orderBy('id', 'desc')
          .limit(limit)
          .execute(),
      );
      return rows.map(
        (row): AuditEntry => ({
          stateVersion: row.state_version,
          atMs: row.at_ms,
          actor: row.actor,
          action: row.action,
          reason: row.reason,
          detail: JSON.parse(row.detail) as AuditEntry['detail'],
        }),
      );
    },
  };
}

async function insertAudit(
  engine: SqlControlEngine,
  tx: ControlTransaction,
  migration: string,
  stateVersion: number | null,
  entry: NewAuditEntry,
): Promise<void> {
  await tx
    .insertInto('audit')
    .values({
      migration,
      state_version: stateVersion,
      at_ms: engine.now(),
      actor: entry.actor,
      action: entry.action,
      reason: entry.reason,
      detail: JSON.stringify(entry.detail),
    })
    .execute();
}

function checkpointMethods(
  engine: SqlControlEngine,
  ready: Ready,
): Pick<ControlStore, 'checkpoint' | 'saveCheckpoint'> {
  /** Compare-and-set on the stored text, the same in each dialect. False: somebody was faster. */
  const trySave = (migration: string, checkpoint: BackfillCheckpoint): Promise<boolean> =>
    engine.transaction('saving a checkpoint', async (db) => {
      const { collection } = checkpoint;
      const body = JSON.stringify(checkpoint);
      const found = await db
        .selectFrom('checkpoint')
        .select('body')
        .where('migration', '=', migration)
        .where('collection', '=', collection)
        .executeTakeFirst();
      if (found === undefined) {
        const { numInsertedOrUpdatedRows } = await db
          .insertInto('checkpoint')
          .values({ migration, collection, body })
          .onConflict((conflict) => conflict.columns(['migration', 'collection']).doNothing())
          .executeTakeFirst();
        return numInsertedOrUpdatedRows === 1n;
      }
      if (isNewerCheckpoint(JSON.parse(found.body) as BackfillCheckpoint, checkpoint)) return true;
      const { numUpdatedRows } = await db
        .updateTable('checkpoint')
        .set({ body })
        .where('migration', '=', migration)
        .where('collection', '=', collection)
        .where('body', '=', found.body)
        .executeTakeFirst();
      return numUpdatedRows === 1n;
    });

  return {
    async checkpoint(migration, collection) {
      await ready();
      const row = await engine.run('reading a checkpoint', (db) =>
        db
          .selectFrom('checkpoint')
          .select('body')
          .where('migration', '=', migration)
          .where('collection', '=', collection)
          .executeTakeFirst(),
      );
      return row === undefined ? null : JSON.parse(row.body);
    },

    async saveCheckpoint(migration, checkpoint) {
      await ready();
      for (let tries = 1; !(await trySave(migration, checkpoint)); tries++) {
        if (tries >= SAVE_TRIES_MAX)
          throw new ChangeoverError(
            'CONTROL_UNAVAILABLE',
            `The checkpoint of "${checkpoint.collection}" was changed by others ${tries} times while it was being saved.`,
          );
      }
    },
  };
}
