// What the migration of the Chinook shop does to a record. Values are exact text: '12.34', '2009-01-01 00:00:00', or null.
import type { DataRecord, Row, Scalar } from 'changeover';

const text = (value: DataRecord[string] | undefined): Scalar =>
  typeof value === 'string' ? value : null;
const rows = (value: DataRecord[string] | undefined): readonly Row[] =>
  Array.isArray(value) ? value : [];

/** '12.34' → '1234', without a float in between. */
export function toCents(money: Scalar): Scalar {
  const match = /^(-?)(\d+)\.(\d{2})$/.exec(money ?? '');
  return match ? `${match[1]}${BigInt(`${match[2]}${match[3]}`)}` : null;
}

/** '1234' → '12.34'. */
export function toMoney(cents: Scalar): Scalar {
  const match = /^(-?)(\d+)$/.exec(cents ?? '');
  if (!match) return null;
  const digits = (match[2] ?? '').padStart(3, '0');
  return `${match[1]}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

const channels = ['phone', 'fax', 'email'] as const;

export function customerToPerson(customer: DataRecord): DataRecord {
  const id = text(customer.customer_id);
  const given = text(customer.first_name) ?? '';
  return {
    id,
    full_name: `${given} ${text(customer.last_name) ?? ''}`,
    given_name: given,
    company: text(customer.company),
    support_rep_id: text(customer.support_rep_id),
    addresses: [
      {
        person_id: id,
        kind: 'home',
        street: text(customer.address),
        city: text(customer.city),
        region: text(customer.state),
        country: text(customer.country),
        postal_code: text(customer.postal_code),
      },
    ],
    contacts: channels.flatMap((channel) => {
      const value = text(customer[channel]);
      return value === null ? [] : [{ person_id: id, channel, value }];
    }),
  };
}

export function personToCustomer(person: DataRecord): DataRecord {
  const home = rows(person.addresses).find((address) => address.kind === 'home');
  const contact = (channel: string): Scalar =>
    rows(person.contacts).find((row) => row.channel === channel)?.value ?? null;
  const given = text(person.given_name) ?? '';
  return {
    customer_id: text(person.id),
    first_name: given,
    last_name: (text(person.full_name) ?? '').slice(given.length + 1),
    company: text(person.company),
    support_rep_id: text(person.support_rep_id),
    address: home?.street ?? null,
    city: home?.city ?? null,
    state: home?.region ?? null,
    country: home?.country ?? null,
    postal_code: home?.postal_code ?? null,
    phone: contact('phone'),
    fax: contact('fax'),
    email: contact('email'),
  };
}

const billing = ['address', 'city', 'state', 'country', 'postal_code'] as const;

export function invoiceToPurchase(invoice: DataRecord): DataRecord {
  const id = text(invoice.invoice_id);
  return {
    id,
    person_id: text(invoice.customer_id),
    ordered_at: `${text(invoice.invoice_date)}+00`,
    bill_to: JSON.stringify(
      Object.fromEntries(billing.map((part) => [part, text(invoice[`billing_${part}`])])),
    ),
    total_cents: toCents(text(invoice.total)),
    items: rows(invoice.lines).map((line) => ({
      id: line.invoice_line_id ?? null,
      purchase_id: id,
      track_id: line.track_id ?? null,
      unit_price_cents: toCents(line.unit_price ?? null),
      quantity: line.quantity ?? null,
    })),
  };
}

export function purchaseToInvoice(purchase: DataRecord): DataRecord {
  const id = text(purchase.id);
  const billTo = JSON.parse(text(purchase.bill_to) ?? '{}') as Readonly<
    Record<string, string | null>
  >;
  return {
    invoice_id: id,
    customer_id: text(purchase.person_id),
    invoice_date: (text(purchase.ordered_at) ?? '').replace(/\+00$/, ''),
    ...Object.fromEntries(billing.map((part) => [`billing_${part}`, billTo[part] ?? null])),
    total: toMoney(text(purchase.total_cents)),
    lines: rows(purchase.items).map((item) => ({
      invoice_line_id: item.id ?? null,
      invoice_id: id,
      track_id: item.track_id ?? null,
      unit_price: toMoney(item.unit_price_cents ?? null),
      quantity: item.quantity ?? null,
    })),
  };
}
