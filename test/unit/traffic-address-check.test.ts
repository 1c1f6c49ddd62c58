import { describe, expect, test } from 'vitest';
import { pgbouncer } from '../../src/adapters/postgres/index.ts';
import { trafficAddressFindings } from '../../src/cli/traffic-address-check.ts';

const hook = (target: string) =>
  pgbouncer({
    admin: 'postgres://a@127.0.0.1/pgbouncer',
    file: '/etc/pgbouncer/changeover.ini',
    databases: { shop: { source: 'host=10.0.0.5 port=5432 dbname=shop', target } },
  });
const displays = {
  source: 'postgres://changeover@10.0.0.5/shop',
  target: 'postgres://changeover@10.0.0.9:5433/shop',
};

describe('where a hook leads to', () => {
  test('says nothing when both are the stores', () => {
    expect(trafficAddressFindings([hook('host=10.0.0.9 port=5433')], displays)).toEqual([]);
  });

  test.each([
    'host=10.0.0.9 port=5433 dbname=shop_staging',
    'host=10.0.0.8 port=5433',
    'host=10.0.0.9',
  ])('warns of %s', (target) => {
    const found = trafficAddressFindings([hook(target)], displays);
    expect(found).toMatchObject([{ id: 'traffic/other-address', verdict: 'warn' }]);
    expect(found[0]?.message).toContain('for the target, which itself is 10.0.0.9:5433/shop');
  });

  test('says nothing of what it cannot compare', () => {
    const other = { name: 'gate', hold: async () => {}, release: async () => {} };
    expect(trafficAddressFindings([other], displays)).toEqual([]);
    const mixed = { ...displays, target: 'mysql://10.0.0.9/shop' };
    expect(trafficAddressFindings([hook('host=10.0.0.8')], mixed)).toEqual([]);
  });
});
