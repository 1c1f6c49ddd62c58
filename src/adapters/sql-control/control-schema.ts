import { ChangeoverError } from '../../errors/index.ts';
import { evidenceCounts } from './evidence-columns.ts';
import type { ControlTransaction, SqlControlEngine } from './sql-control-engine.ts';
import { giveEvidenceComparators } from './sql-evidence.ts';
import { createSampleTable } from './sql-samples.ts';

/** The format that this release writes. A store with a newer one is refused, an older one is brought up. */
export const controlFormat = 5;

type Step = (tx: ControlTransaction, engine: SqlControlEngine) => Promise<void>;

/** `steps[n]` brings format n to n + 1. Never change one that has been released: append. */
const steps: readonly Step[] = [
  createFirstFormat,
  addWorkerReports,
  createSampleTable,
  addMismatchClasses,
  giveEvidenceComparators,
];

/**
 * Brings our schema to `controlFormat`. Safe when several processes start at once; changes nothing when it is current,
 * so that a role without CREATE can work once the schema exists. Errors: CONFIG_INVALID for a newer format.
 */
export async function ensureControlSchema(engine: SqlControlEngine): Promise<void> {
  const found = await engine.run('reading the format of the control store', async (db) =>
    (await engine.hasSchema(db))
      ? await db.selectFrom('format').select('version').executeTakeFirst()
      : undefined,
  );
  if (found !== undefined) refuseNewer(engine, found.version);
  if (found?.version === controlFormat) return;
  await engine.transaction('creating the tables of the control store', async (tx) => {
    await engine.lockSchema(tx);
    await tx.schema
      .createTable('format')
      .ifNotExists()
      .addColumn('id', 'integer', (column) => column.primaryKey())
      .addColumn('version', 'integer', (column) => column.notNull())
      .execute();
    // Read again under the lock: another process may have been faster, or newer.
    const row = await tx.selectFrom('format').select('version').executeTakeFirst();
    const from = row?.version ?? 0;
    refuseNewer(engine, from);
    for (const step of steps.slice(from)) await step(tx, engine);
    await tx
      .insertInto('format')
      .values({ id: 1, version: controlFormat })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ version: controlFormat }))
      .execute();
  });
}

function refuseNewer(engine: SqlControlEngine, version: number): void {
  if (version <= controlFormat) return;
  throw new ChangeoverError(
    'CONFIG_INVALID',
    `The control store ${engine.display} has format ${version}, this release of changeover knows formats up to ${controlFormat}: use the newer release that wrote it.`,
    { data: { found: version, known: controlFormat } },
  );
}

async function createFirstFormat(tx: ControlTransaction, engine: SqlControlEngine): Promise<void> {
  await createStateTables(tx, engine);
  await tx.schema
    .createTable('instance')
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('label', 'text', (column) => column.notNull())
    .addColumn('acknowledged_version', 'bigint', (column) => column.notNull())
    .addColumn('last_seen_ms', 'bigint', (column) => column.notNull())
    .addColumn('lease_until_ms', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('instance_key', ['migration', 'id'])
    .execute();
  let evidence = tx.schema
    .createTable('evidence')
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('collection', 'text', (column) => column.notNull())
    .addColumn('detector', 'text', (column) => column.notNull())
    .addColumn('minute', 'bigint', (column) => column.notNull());
  for (const count of evidenceCounts) {
    evidence = evidence.addColumn(count, 'bigint', (column) => column.notNull());
  }
  await evidence
    .addPrimaryKeyConstraint('evidence_key', ['migration', 'collection', 'detector', 'minute'])
    .execute();
  await tx.schema
    .createTable('mismatch')
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('collection', 'text', (column) => column.notNull())
    .addColumn('key', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('detector', 'text', (column) => column.notNull())
    .addColumn('differences', 'text', (column) => column.notNull())
    .addColumn('first_seen_ms', 'bigint', (column) => column.notNull())
    .addColumn('last_seen_ms', 'bigint', (column) => column.notNull())
    .addColumn('rechecks', 'bigint', (column) => column.notNull())
    .addColumn('note', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('mismatch_key', ['migration', 'collection', 'key'])
    .execute();
}

async function addWorkerReports(tx: ControlTransaction): Promise<void> {
  await tx.schema.alterTable('instance').addColumn('report', 'text').execute();
}

/** Classes, explanations and the history of a line. Lines that are there keep NULL: nobody has looked at them so. */
async function addMismatchClasses(tx: ControlTransaction): Promise<void> {
  for (const name of ['class', 'fields', 'owner', 'ticket', 'detail'])
    await tx.schema.alterTable('mismatch').addColumn(name, 'text').execute();
  await tx.schema.alterTable('mismatch').addColumn('expires_ms', 'bigint').execute();
}

async function createStateTables(tx: ControlTransaction, engine: SqlControlEngine): Promise<void> {
  await tx.schema
    .createTable('migration_state')
    .addColumn('migration', 'text', (column) => column.primaryKey())
    .addColumn('version', 'bigint', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .execute();
  const audit = tx.schema.createTable('audit');
  await (engine.auditId === 'identity'
    ? audit.addColumn('id', 'bigint', (column) => column.primaryKey().generatedAlwaysAsIdentity())
    : audit.addColumn('id', 'integer', (column) => column.primaryKey().autoIncrement())
  )
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('state_version', 'bigint')
    .addColumn('at_ms', 'bigint', (column) => column.notNull())
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('action', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('detail', 'text', (column) => column.notNull())
    // Two audit lines can never claim the same state change.
    .addUniqueConstraint('audit_state_version', ['migration', 'state_version'])
    .execute();
  await tx.schema
    .createTable('checkpoint')
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('collection', 'text', (column) => column.notNull())
    .addColumn('body', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('checkpoint_key', ['migration', 'collection'])
    .execute();
}
