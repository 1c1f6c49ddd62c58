import { defineMigration } from 'changeover';
import { postgres } from 'changeover/postgres';
import { customerToPerson, invoiceToPurchase, personToCustomer, purchaseToInvoice } from './transforms.ts';

export default defineMigration({
  name: 'chinook',
  source: postgres({ url: process.env.SOURCE_URL ?? '' }),
  target: postgres({ url: process.env.TARGET_URL ?? '' }),
  collections: {
    people: {
      source: { table: 'customer' },
      target: {
        table: 'sales.person',
        children: {
          addresses: { table: 'sales.address', parent: ['person_id'], key: ['person_id', 'kind'] },
          contacts: { table: 'sales.contact', parent: ['person_id'], key: ['person_id', 'channel'] },
        },
      },
      forward: customerToPerson,
      backward: personToCustomer,
    },
    purchases: {
      source: { table: 'invoice', children: { lines: { table: 'invoice_line', parent: ['invoice_id'], key: ['invoice_line_id'] } } },
      target: { table: 'sales.purchase', children: { items: { table: 'sales.purchase_item', parent: ['purchase_id'], key: ['id'] } } },
      forward: invoiceToPurchase,
      backward: purchaseToInvoice,
      capture: 'outbox',
    },
  },
});
