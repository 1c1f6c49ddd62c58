import type { PostgresNames } from './postgres-names.ts';
import { quoteLiteral } from './postgres-text.ts';

/** Raised by `admit` when the door is shut: another role or epoch. */
export const DOOR_SHUT_SQLSTATE = 'CO002';

/**
 * Statements that create what door and guard need, idempotent, in order; the schema exists already.
 * - `guard`: one row `{role, epoch, attempt}`, always there (`idle`, 0);
 * - `fence`: the highest version let in per key, keys encoded (`encodeKey`);
 * - `chunk`: chunks in flight only: the row goes with the write that it stands for;
 * - `admit`: first statement of every own transaction. A function, so that lock and look are one round trip and the look still
 *   has a snapshot of its own (VOLATILE plpgsql in READ COMMITTED): one statement would see the guard as it was before it waited.
 */
export function doorTableStatements(names: PostgresNames): readonly string[] {
  const { guard, fence, chunk, chunkAttempt, admit, roleLock } = names;
  return [
    `CREATE TABLE IF NOT EXISTS ${guard} (
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      role text NOT NULL CHECK (role IN ('idle', 'authority', 'follower', 'sealed')),
      epoch int NOT NULL,
      attempt text)`,
    `INSERT INTO ${guard} (role, epoch) VALUES ('idle', 0) ON CONFLICT DO NOTHING`,
    `CREATE TABLE IF NOT EXISTS ${fence} (
      collection text COLLATE "C" NOT NULL,
      key text COLLATE "C" NOT NULL,
      epoch int NOT NULL,
      sequence bigint NOT NULL,
      deleted boolean NOT NULL,
      repair boolean NOT NULL,
      PRIMARY KEY (collection, key)) WITH (fillfactor = 80)`,
    `CREATE INDEX IF NOT EXISTS fence_deleted ON ${fence} (collection) WHERE deleted`,
    `CREATE SEQUENCE IF NOT EXISTS ${chunkAttempt}`,
    `CREATE TABLE IF NOT EXISTS ${chunk} (
      collection text COLLATE "C" NOT NULL,
      chunk bigint NOT NULL,
      attempt bigint NOT NULL,
      owner text NOT NULL,
      range_after jsonb,
      range_until jsonb,
      begun_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (collection, chunk))`,
    `CREATE OR REPLACE FUNCTION ${admit}(wanted_role text, wanted_epoch int) RETURNS void
      LANGUAGE plpgsql VOLATILE AS ${quoteLiteral(`
      DECLARE
        found record;
      BEGIN
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(${roleLock});
        SELECT role, epoch INTO found FROM ${guard};
        IF found.role IS DISTINCT FROM wanted_role OR found.epoch IS DISTINCT FROM wanted_epoch THEN
          RAISE EXCEPTION 'this store is % in epoch %, not % in epoch %', found.role, found.epoch, wanted_role, wanted_epoch
            USING ERRCODE = CASE wanted_role WHEN 'follower' THEN ${quoteLiteral(DOOR_SHUT_SQLSTATE)} ELSE 'CO001' END;
        END IF;
      END`)}`,
  ];
}
