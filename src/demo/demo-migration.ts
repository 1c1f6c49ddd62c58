import { postgres } from '../adapters/postgres/index.ts';
import { sqlite } from '../adapters/sqlite/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../config/index.ts';
import { legacyColumns } from './shop-schema.ts';
import { legacyToModern, modernToLegacy } from './shop-transform.ts';

export interface ShopAddresses {
  readonly sourceUrl: string;
  readonly targetUrl: string;
  readonly controlPath: string;
}

/** Budget of a caller for the write to the follower; beyond it the queue has the change. */
const latencyBudgetMs = 250;

/** The migration of the demo, opened by each process for itself. The caller closes it. */
export function openShopMigration(addresses: ShopAddresses): Promise<OpenedMigration> {
  return openMigration(
    defineMigration({
      name: 'shop',
      source: postgres({ url: addresses.sourceUrl }),
      target: postgres({ url: addresses.targetUrl }),
      control: sqlite({ file: addresses.controlPath }),
      collections: {
        customers: {
          source: { table: 'customers', key: ['id'], columns: legacyColumns },
          target: {
            table: 'customers',
            key: ['id'],
            children: {
              addresses: {
                table: 'addresses',
                key: ['customer_id', 'kind'],
                parent: ['customer_id'],
              },
              contact_points: {
                table: 'contact_points',
                key: ['customer_id', 'kind'],
                parent: ['customer_id'],
              },
            },
          },
          forward: legacyToModern,
          backward: modernToLegacy,
          capture: 'app',
          write: 'serial',
          latencyBudgetMs,
        },
      },
    }),
  );
}
