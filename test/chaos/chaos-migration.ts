import { postgres, postgresControl } from '../../src/adapters/postgres/index.ts';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import { legacyColumns } from '../../src/demo/shop-schema.ts';
import { legacyToModern, modernToLegacy } from '../../src/demo/shop-transform.ts';
import { type Runtime, systemRuntime } from '../../src/runtime/index.ts';
import type { WriteMode } from './chaos-options.ts';

export const collection = 'customers';

/** Where everything is; each process gets it as JSON in its first argument. */
export interface ChaosAddresses {
  readonly sourceUrl: string;
  readonly targetUrl: string;
  /** null: the control store is the file. */
  readonly controlUrl: string | null;
  readonly controlPath: string;
  readonly mode: WriteMode;
}

const latencyBudgetMs = 250;

/** The migration of the demo, with every write mode and either control store. The caller closes it. */
export function openChaosMigration(
  addresses: ChaosAddresses,
  runtime: Runtime = systemRuntime,
): Promise<OpenedMigration> {
  const { mode, controlUrl, controlPath } = addresses;
  const ofCustomer = { key: ['customer_id', 'kind'], parent: ['customer_id'] };
  return openMigration(
    defineMigration({
      name: 'shop',
      source: postgres({ url: addresses.sourceUrl, connectTimeoutMs: 2_000 }),
      target: postgres({ url: addresses.targetUrl, connectTimeoutMs: 2_000 }),
      control:
        controlUrl === null ? sqlite({ file: controlPath }) : postgresControl({ url: controlUrl }),
      collections: {
        [collection]: {
          source: { table: 'customers', key: ['id'], columns: legacyColumns },
          target: {
            table: 'customers',
            key: ['id'],
            children: {
              addresses: { table: 'addresses', ...ofCustomer },
              contact_points: { table: 'contact_points', ...ofCustomer },
            },
          },
          forward: legacyToModern,
          backward: modernToLegacy,
          capture: mode === 'outbox' || mode === 'log' ? mode : 'app',
          write: mode === 'parallel' || mode === 'deferred' ? mode : 'serial',
          failureMode: mode === 'fail-closed' ? 'fail-closed' : 'fail-open',
          latencyBudgetMs,
        },
      },
    }),
    { runtime },
  );
}

/** Ends with our process id, by which the operator proves a process dead. */
export const labelOf = (name: string): string => `${name} (pid ${process.pid})`;

/** The process id in a label; null when there is none. */
export function pidOfLabel(label: string): number | null {
  const match = /\(pid (\d+)\)$/.exec(label);
  return match ? Number(match[1]) : null;
}

/** Short leases: a run lasts minutes. */
export const leaseMs = 3_000;
