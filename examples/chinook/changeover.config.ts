import { defineMigration } from 'changeover';
import { postgres } from 'changeover/postgres';
import {
  customerToPerson,
  invoiceToPurchase,
  personToCustomer,
  purchaseToInvoice,
} from './transforms.ts';

const address = { table: 'sales.address', parent: ['person_id'], key: ['person_id', 'kind'] };
const contact = { table: 'sales.contact', parent: ['person_id'], key: ['person_id', 'channel'] };
const line = { table: 'invoice_line', parent: ['invoice_id'], key: ['invoice_line_id'] };
const item = { table: 'sales.purchase_item', parent: ['purchase_id'], key: ['id'] };

export default defineMigration({
  name: 'chinook',
  source: postgres({ url: process.env.SOURCE_URL ?? '' }),
  target: postgres({ url: process.env.TARGET_URL ?? '' }),
  collections: {
    people: {
      source: 'customer',
      target: { table: 'sales.person', children: { addresses: address, contacts: contact } },
      forward: customerToPerson,
      backward: personToCustomer,
    },
    purchases: {
      source: { table: 'invoice', children: { lines: line } },
      target: { table: 'sales.purchase', children: { items: item } },
      forward: invoiceToPurchase,
      backward: purchaseToInvoice,
      capture: 'outbox',
    },
  },
  gates: { profile: 'demo' },
});
