import type { Shape } from '../../migration/index.ts';
import type { DataRecord, Key } from '../../record/index.ts';

/**
 * The collections of the suite. All columns are text without a length limit, keys in bytewise (UTF-8) order.
 * - `items (id PRIMARY KEY, name, note)`;
 * - `orders (tenant, number, customer, PRIMARY KEY (tenant, number))` with the children
 *   `order_lines (tenant, number, line, product, PRIMARY KEY (tenant, number, line))` and
 *   `order_tags (tag PRIMARY KEY, tenant, number, label)`.
 * Only key columns are NOT NULL; `items.name` may refuse the text `forbidden`.
 */
export const conformanceShapes: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ['items', { table: 'items', key: ['id'], columns: ['id', 'name', 'note'] }],
  [
    'orders',
    {
      table: 'orders',
      key: ['tenant', 'number'],
      columns: ['tenant', 'number', 'customer'],
      children: {
        lines: {
          table: 'order_lines',
          key: ['tenant', 'number', 'line'],
          parent: ['tenant', 'number'],
          columns: ['tenant', 'number', 'line', 'product'],
        },
        tags: {
          table: 'order_tags',
          key: ['tag'],
          parent: ['tenant', 'number'],
          columns: ['tag', 'tenant', 'number', 'label'],
        },
      },
    },
  ],
]);

/** A record of `items`. */
export function item(id: string, name: string | null = `name of ${id}`): DataRecord {
  return { id, name, note: null };
}

/** A record of `orders`; lines as `line:product`, tags as `tag:label`. */
export function order(
  key: Key,
  lines: readonly string[],
  tags: readonly string[] = [],
): DataRecord {
  const [tenant = '', number = ''] = key;
  const pair = (text: string): readonly [string, string] => {
    const at = text.indexOf(':');
    return [text.slice(0, at), text.slice(at + 1)];
  };
  return {
    tenant,
    number,
    customer: `customer of ${number}`,
    lines: lines.map((text) => {
      const [line, product] = pair(text);
      return { tenant, number, line, product };
    }),
    tags: tags.map((text) => {
      const [tag, label] = pair(text);
      return { tag, tenant, number, label };
    }),
  };
}
