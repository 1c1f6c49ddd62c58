import { createHash } from 'node:crypto';
import type { Side } from '../../migration/index.ts';
import { quoteIdentifier } from './postgres-text.ts';

/** The two-part key of an advisory lock of PostgreSQL, as SQL: `1234, -56`. */
export type AdvisoryKey = string;

/** What our objects in one store are called. Tables and functions are schema-qualified and quoted. */
export interface PostgresNames {
  /** Not quoted. */
  readonly schema: string;
  readonly quotedSchema: string;
  readonly guard: string;
  readonly fence: string;
  readonly chunk: string;
  /** Attempts of chunks; never repeats. */
  readonly chunkAttempt: string;
  /** `admit(wanted_role text, wanted_epoch int)`: shared role lock, then CO001/CO002 unless the guard row says so. */
  readonly admit: string;
  /** Trigger function that refuses writers; see `postgres-guard-triggers.ts`. */
  readonly refuse: string;
  /** Shared: own writes, door, chunks. Exclusive: change of role. */
  readonly roleLock: AdvisoryKey;
  /** Shared: live door transactions, for as long as they are open. Never taken exclusively; chunks look who holds it. */
  readonly doorLock: readonly [number, number];
}

/** `changeover_<migration>_<side>`; long or unusual names are cut and made unique by a hash. Both sides may live in one database. */
export function postgresNames(migration: string, side: Side): PostgresNames {
  const schema = schemaName(migration, side);
  const quotedSchema = quoteIdentifier(schema);
  const hash = (what: string): number =>
    createHash('md5').update(`${schema}/${what}`).digest().readInt32BE(0);
  const qualified = (name: string): string => `${quotedSchema}.${quoteIdentifier(name)}`;
  const locks = hash('locks');
  return {
    schema,
    quotedSchema,
    guard: qualified('guard'),
    fence: qualified('fence'),
    chunk: qualified('chunk'),
    chunkAttempt: qualified('chunk_attempt'),
    admit: qualified('admit'),
    refuse: qualified('refuse'),
    roleLock: `${locks}, 1`,
    doorLock: [locks, 2],
  };
}

const NAME_MAX = 63;

function schemaName(migration: string, side: Side): string {
  const plain = migration.toLowerCase().replace(/[^a-z0-9]+/g, '_');
  const name = `changeover_${plain}_${side}`;
  if (plain === migration && name.length <= NAME_MAX) return name;
  const digest = createHash('md5').update(migration).digest('hex').slice(0, 8);
  return `changeover_${plain.slice(0, 30)}_${digest}_${side}`;
}
