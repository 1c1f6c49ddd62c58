import { sql } from 'kysely';
import type { Fleet, Instance, WorkerReport } from '../../control/index.ts';
import type { SqlControlEngine } from './sql-control-engine.ts';

/** Registrations and leases in one table; the database's clock where it has one. */
export function createSqlFleet(engine: SqlControlEngine, ready: () => Promise<void>): Fleet {
  return {
    async heartbeat(migration, { id, kind, label, acknowledgedVersion, report }, leaseMs) {
      await ready();
      // One round trip: a fleet sends them by the hundred, all at once after a change of state.
      await engine.run('a heartbeat', async (db) => {
        const told = report ? JSON.stringify(report) : null;
        await db
          .insertInto('instance')
          .columns([
            'migration',
            'id',
            'kind',
            'label',
            'acknowledged_version',
            'report',
            'last_seen_ms',
            'lease_until_ms',
          ])
          // The clock is looked at once: the lease is as long as it was asked for, to the millisecond.
          .expression(
            db
              .selectFrom(db.selectNoFrom(engine.now().as('ms')).as('now'))
              .select((eb) => [
                eb.val(migration).as('migration'),
                eb.val(id).as('id'),
                eb.val(kind).as('kind'),
                eb.val(label).as('label'),
                eb.val(acknowledgedVersion).as('acknowledged_version'),
                eb.val(told).as('report'),
                eb.ref('now.ms').as('last_seen_ms'),
                eb('now.ms', '+', leaseMs).as('lease_until_ms'),
              ])
              // SQLite takes ON CONFLICT for a join without it.
              .where(sql<boolean>`true`),
          )
          .onConflict((conflict) =>
            conflict.columns(['migration', 'id']).doUpdateSet((eb) => ({
              kind: eb.ref('excluded.kind'),
              label: eb.ref('excluded.label'),
              report: eb.ref('excluded.report'),
              last_seen_ms: eb.ref('excluded.last_seen_ms'),
              lease_until_ms: eb.ref('excluded.lease_until_ms'),
              // A late heartbeat must not take back what was acknowledged after it was sent.
              acknowledged_version: eb
                .case()
                .when('excluded.acknowledged_version', '>', eb.ref('instance.acknowledged_version'))
                .then(eb.ref('excluded.acknowledged_version'))
                .else(eb.ref('instance.acknowledged_version'))
                .end(),
            })),
          )
          .execute();
      });
    },

    async list(migration) {
      await ready();
      return engine.run('listing the fleet', async (db) => {
        const { now } = await db.selectNoFrom(engine.now().as('now')).executeTakeFirstOrThrow();
        const rows = await db
          .selectFrom('instance')
          .selectAll()
          .where('migration', '=', migration)
          .orderBy('id')
          .execute();
        const instances = rows.map(
          (row): Instance => ({
            id: row.id,
            kind: row.kind as Instance['kind'],
            label: row.label,
            acknowledgedVersion: row.acknowledged_version,
            lastSeenMs: row.last_seen_ms,
            leaseUntilMs: row.lease_until_ms,
            report: row.report === null ? null : (JSON.parse(row.report) as WorkerReport),
          }),
        );
        return { nowMs: now, instances };
      });
    },

    async remove(migration, id) {
      await ready();
      await engine.transaction('removing an instance', (db) =>
        db.deleteFrom('instance').where('migration', '=', migration).where('id', '=', id).execute(),
      );
    },
  };
}
