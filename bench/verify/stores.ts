import { memoryControl } from '../../src/adapters/memory/index.ts';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import { initialState, type MigrationState } from '../../src/migration/index.ts';
import type { DataRecord } from '../../src/record/index.ts';
import type { StoreConnector } from '../../src/store/index.ts';

/** Where both sides of a comparison are, as it goes to the process that compares. */
export interface ComparedSides {
  readonly table: string;
  readonly key: readonly string[];
  readonly sourceUrl: string;
  readonly targetUrl: string;
  /** The collection has a JavaScript transform that gives equal records. */
  readonly transform: boolean;
}

/** What a comparison came to. */
export interface Compared {
  readonly ms: number;
  readonly cpuSeconds: number;
  readonly compared: number;
  readonly differing: readonly string[];
  readonly way: string;
  readonly why: string;
}

export const comparedState: MigrationState = { ...initialState('bench'), phase: 'shadow-read' };

const connectorOf = (url: string): StoreConnector =>
  url.startsWith('mysql:') ? mariadb({ url }) : postgres({ url });

/** A transform that makes each record anew. */
const rebuilt = (record: DataRecord): DataRecord => {
  const copy: Record<string, DataRecord[string]> = {};
  for (const [name, value] of Object.entries(record)) copy[name] = value;
  return copy;
};

export function openSides(sides: ComparedSides): Promise<OpenedMigration> {
  const shape = { table: sides.table, key: sides.key };
  const transforms = sides.transform ? { forward: rebuilt, backward: rebuilt } : {};
  return openMigration(
    defineMigration({
      name: 'bench',
      source: connectorOf(sides.sourceUrl),
      target: connectorOf(sides.targetUrl),
      control: memoryControl(),
      collections: { [sides.table]: { source: shape, target: shape, ...transforms } },
    }),
  );
}
