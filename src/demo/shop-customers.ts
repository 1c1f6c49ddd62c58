import type { Random } from '../runtime/index.ts';
import { monotonicMs } from './ledger.ts';
import { notes, regions } from './shop-people.ts';
import { type LegacyCustomer, legacyColumns } from './shop-schema.ts';

/** A customer that the application makes up; all columns, so that the ledger knows the whole row. */
export function inventCustomer(id: string, op: string, random: Random): LegacyCustomer {
  const region = choose(regions, random);
  const family = region.family.length === 0 ? '' : ` ${choose(region.family, random)}`;
  const moved = random.next() < 0.3;
  const place = (there: boolean): readonly (string | null)[] =>
    there
      ? [
          `${choose(region.streets, random)} ${whole(180, random)}`,
          String(10_000 + whole(80_000, random)),
          choose(region.cities, random),
          region.country,
        ]
      : [null, null, null, null];
  const [street, zip, city, country] = place(random.next() < 0.9);
  const [shipStreet, shipZip, shipCity, shipCountry] = place(moved);
  const now = timestamp(random);
  return {
    id,
    name: `${choose(region.given, random)}${family}`,
    email: random.next() < 0.8 ? `kunde${id}.${whole(1_000, random)}@example.org` : null,
    phone: random.next() < 0.5 ? `${region.dialling} ${whole(9_999_999, random)}` : null,
    mobile: random.next() < 0.5 ? `${region.dialling} 15${whole(9_999_999, random)}` : null,
    fax: null,
    street: street ?? null,
    zip: zip ?? null,
    city: city ?? null,
    country: country ?? null,
    ship_street: shipStreet ?? null,
    ship_zip: shipZip ?? null,
    ship_city: shipCity ?? null,
    ship_country: shipCountry ?? null,
    balance: money(region.decimals, region.currency, random),
    newsletter: random.next() < 0.5 ? 'J' : 'N',
    birthday:
      random.next() < 0.6
        ? `${two(1 + whole(28, random))}.${two(1 + whole(12, random))}.19${two(40 + whole(60, random))}`
        : null,
    tags: choose(['', 'vip', 'wholesale', 'b2b,net30'], random),
    note: random.next() < 0.5 ? choose(notes, random) : null,
    created_at: now,
    changed_at: now,
    deleted: 'N',
    deleted_at: null,
    revision: op,
  };
}

/** What a small change of a known customer sets; the rest stays. */
export function inventChange(
  known: LegacyCustomer,
  op: string,
  random: Random,
): Partial<LegacyCustomer> {
  const base = { changed_at: timestamp(random), revision: op };
  const [, currency] = (known.balance ?? '0 EUR').split(' ');
  const region = regions.find((candidate) => candidate.currency === currency);
  switch (whole(5, random)) {
    case 0:
      return { ...base, balance: money(region?.decimals ?? 2, currency ?? 'EUR', random) };
    case 1:
      return { ...base, note: choose(notes, random) };
    case 2:
      return { ...base, tags: choose(['', 'vip', 'wholesale,vip'], random), email: null };
    case 3:
      return { ...base, ship_street: null, ship_zip: null, ship_city: null, ship_country: null };
    default:
      // The legacy shop's way to delete: the row stays.
      return known.deleted === 'N'
        ? { ...base, deleted: 'Y', deleted_at: timestamp(random) }
        : { ...base, deleted: 'N', deleted_at: null };
  }
}

/** A row as a store gave it back. Throws when a column is missing or is not text. */
export function toLegacyCustomer(record: Readonly<Record<string, unknown>>): LegacyCustomer {
  const entries = legacyColumns.map((column) => {
    const value = record[column];
    if (value !== null && typeof value !== 'string') {
      throw new Error(`column ${column} came back as ${typeof value}`);
    }
    return [column, value] as const;
  });
  return Object.fromEntries(entries) as LegacyCustomer;
}

/** 0 … size - 1. */
export function whole(size: number, random: Random): number {
  return Math.floor(random.next() * size);
}

export function choose<T>(list: readonly T[], random: Random): T {
  const chosen = list[whole(list.length, random)];
  if (chosen === undefined) throw new Error('nothing to choose from');
  return chosen;
}

function money(decimals: number, currency: string, random: Random): string {
  const amount = String(1 + whole(99_999, random));
  const cents = decimals === 2 ? `.${two(whole(100, random))}` : '';
  return `${random.next() < 0.1 ? '-' : ''}${amount}${cents} ${currency}`;
}

const two = (value: number): string => String(value).padStart(2, '0');

/** Now, in the legacy table's form; microseconds made up, so that truncation to milliseconds would be seen. */
function timestamp(random: Random): string {
  const text = new Date().toISOString();
  const micros = String((Math.floor(monotonicMs() * 1_000) + whole(1_000, random)) % 1_000);
  return `${text.slice(0, 10)} ${text.slice(11, 23)}${micros.padStart(3, '0')}`;
}
