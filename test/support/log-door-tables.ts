import type { LogCheckpoint } from '../../src/log/index.ts';
import type { Shape } from '../../src/migration/index.ts';
import type { Change, DataRecord } from '../../src/record/index.ts';

/** Parents before children, as the engine sends them. */
export const shapes: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ['owners', { table: 'owners', key: ['id'] }],
  ['pets', { table: 'pets', key: ['id'] }],
  ['journal', { table: 'journal', key: ['id'] }],
  [
    'carts',
    {
      table: 'carts',
      key: ['id'],
      children: { lines: { table: 'lines', key: ['line'], parent: ['cart'] } },
    },
  ],
  ['husbands', { table: 'husbands', key: ['id'] }],
  ['wives', { table: 'wives', key: ['id'] }],
]);

/** Their tables; `statements` is for triggers of tests. */
export const ddl = `CREATE TABLE owners (id int PRIMARY KEY, name text CHECK (name <> 'forbidden'), email text UNIQUE);
  CREATE TABLE pets (id int PRIMARY KEY, owner int NOT NULL REFERENCES owners);
  CREATE TABLE journal (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text varchar(20), twice text GENERATED ALWAYS AS (text || text) STORED);
  CREATE TABLE carts (id int PRIMARY KEY, name text);
  CREATE TABLE lines (line int PRIMARY KEY, cart int NOT NULL REFERENCES carts, what text);
  CREATE TABLE husbands (id int PRIMARY KEY, wife int NOT NULL);
  CREATE TABLE wives (id int PRIMARY KEY, husband int NOT NULL REFERENCES husbands DEFERRABLE);
  ALTER TABLE husbands ADD FOREIGN KEY (wife) REFERENCES wives DEFERRABLE;
  CREATE TABLE statements (text text)`;

/** The stream by which they are followed. */
export const stream = 'changeover_logged_s_1';
/** Where its follower stands. */
export const at = (sequence: number, skip = 0): LogCheckpoint => ({
  identity: 'log one',
  position: { sequence: BigInt(sequence), text: `0/${sequence}` },
  skip,
});
/** What the log says of one record. */
export const change = (
  collection: string,
  id: number,
  sequence: number,
  value: DataRecord | null,
): Change => ({
  collection,
  key: [String(id)],
  version: { epoch: 1, sequence: BigInt(sequence) },
  value: value === null ? null : { id: String(id), ...value },
  origin: 'log',
});
