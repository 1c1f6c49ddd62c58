import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import {
  type ChangeoverEvent,
  createEventHub,
  initialState,
  type Migration,
} from '../../src/migration/index.ts';
import { createMetrics, metricTable } from '../../src/telemetry/index.ts';
import { seriesMax } from '../../src/telemetry/metric-family.ts';

function opened(name = 'shop') {
  const migration: Migration = { name, collections: new Map() };
  return { migration, events: createEventHub() };
}

const write = (collection: string): ChangeoverEvent => ({
  type: 'write',
  collection,
  phase: 'dual-write',
  outcome: 'committed',
  authorityMs: 2,
  totalMs: 7,
});

/** One of each kind. */
const everyEvent: readonly ChangeoverEvent[] = [
  { type: 'state', state: { ...initialState('shop'), version: 7, dialBasisPoints: 2_500 } },
  { type: 'control', reachable: false, error: 'gone' },
  write('customers'),
  { type: 'follower-write', collection: 'customers', outcome: 'queued', ms: 3 },
  {
    type: 'read',
    collection: 'customers',
    servedBy: 'target',
    why: 'dial',
    outcome: 'ok',
    ms: 1,
  },
  { type: 'shadow-read', collection: 'customers', outcome: 'matched', ms: 4 },
  { type: 'held', collection: 'customers', ms: 120, outcome: 'released' },
  { type: 'queue', side: 'source', waiting: 3, dead: 1, oldestMs: 1_500 },
  { type: 'drained', side: 'source', applied: 5, stale: 1, failed: 2, ms: 30 },
  {
    type: 'log',
    side: 'source',
    changes: 9,
    applied: 4,
    stale: 1,
    parked: 1,
    lagMs: 12,
    ms: 8,
  },
  { type: 'apply-failed', side: 'source', code: 'STORE_REJECTED', message: 'no', changes: 2 },
  { type: 'repair', collection: 'orders', stopped: true },
  { type: 'rogue-writes', side: 'target', notes: 2, added: 1, tables: ['t'], users: ['u'] },
  { type: 'way-back', ready: false, ms: null, reasons: ['no worker'] },
  { type: 'dead-letter', collection: 'customers', reason: 'constraint "x"' },
  { type: 'breaker', side: 'target', state: 'open' },
  {
    type: 'backfill',
    collection: 'customers',
    rowsRead: 10,
    rowsInserted: 8,
    rowsDead: 1,
    estimatedRows: 100,
    rowsPerSecond: 20,
    growthPerSecond: 5,
    convergencePerSecond: 15,
    estimatedRemainingMs: 6_000,
    ms: 5,
    finished: false,
  },
  { type: 'throttle', reason: 'live latency' },
  { type: 'verify', collection: 'customers', compared: 10, suspects: 2, finished: true },
  { type: 'mismatch', collection: 'customers', kind: 'missing', status: 'open' },
  { type: 'cutover', attempt: 'a1', step: 'seal', outcome: 'done', ms: 8 },
];

test('names follow the Prometheus convention: prefix, unit last, counters end in _total', () => {
  for (const [name, { type }] of Object.entries(metricTable)) {
    expect(name).toMatch(/^changeover_[a-z]+(_[a-z]+)*$/);
    expect(name.endsWith('_total'), name).toBe(type === 'counter');
    expect(name.endsWith('_duration_seconds'), name).toBe(type === 'histogram');
  }
});

test('no metric has a label for keys, tenants, values or messages', () => {
  const allowed = 'phase collection outcome served_by why side state kind status step code'.split(
    ' ',
  );
  for (const { labels } of Object.values(metricTable))
    for (const label of labels) expect(allowed).toContain(label);
});

test('every kind of event is counted, and every metric is fed by some event', async () => {
  const context = opened();
  const { registry } = createMetrics(context);
  for (const event of everyEvent) context.events.emit(event);
  const text = await registry.metrics();
  for (const name of Object.keys(metricTable)) {
    expect(text, name).toMatch(new RegExp(`^${name}(_count)?\\{.*migration="shop".*\\} `, 'm'));
  }
  expect(text).toContain(
    'changeover_writes_total{collection="customers",phase="dual-write",outcome="committed",migration="shop"} 1',
  );
  expect(text).toContain('changeover_dial_ratio{migration="shop"} 0.25');
  expect(text).toContain('changeover_control_up{migration="shop"} 0');
  expect(text).toContain('changeover_queue_oldest_age_seconds{side="source",migration="shop"} 1.5');
  expect(text).toContain('changeover_breaker_state{side="target",state="open",migration="shop"} 1');
  expect(text).not.toContain('constraint');
});

test('histograms are cumulative, in seconds, and a value on a bound counts below it', async () => {
  const context = opened();
  const { registry } = createMetrics(context);
  for (const totalMs of [0.1, 1, 7, 60_000])
    context.events.emit({ ...write('customers'), totalMs } as ChangeoverEvent);
  const text = await registry.getSingleMetricAsString('changeover_write_duration_seconds');
  const bucket = (le: string): string =>
    `_bucket{le="${le}",collection="customers",migration="shop"}`;
  expect(text).toContain(`${bucket('0.0005')} 1`);
  expect(text).toContain(`${bucket('0.001')} 2`);
  expect(text).toContain(`${bucket('0.01')} 3`);
  expect(text).toContain(`${bucket('10')} 3`);
  expect(text).toContain(`${bucket('+Inf')} 4`);
  expect(text).toContain('_count{collection="customers",migration="shop"} 4');
  expect(text).toMatch(/_sum\{[^}]*\} 60\.0081/);
});

test('several migrations share one registry, and one leaves without the other', async () => {
  const registry = new Registry();
  const [shop, billing] = [opened('shop'), opened('billing')];
  const first = createMetrics(shop, { registry });
  const second = createMetrics(billing, { registry });
  shop.events.emit(write('orders'));
  billing.events.emit(write('invoices'));
  expect(await registry.metrics()).toMatch(/collection="orders"[\s\S]*collection="invoices"/);
  first.close();
  first.close();
  shop.events.emit(write('orders'));
  const left = await registry.metrics();
  expect(left).not.toContain('orders');
  expect(left).toContain('invoices');
  second.close();
  expect(registry.getMetricsAsArray()).toEqual([]);
});

test('names made from data do not grow the process without bound', async () => {
  const context = opened();
  const { registry } = createMetrics(context);
  for (let tenant = 0; tenant < seriesMax + 500; tenant++)
    context.events.emit(write(`orders of tenant ${tenant}`));
  const text = await registry.getSingleMetricAsString('changeover_writes_total');
  expect(text.split('\n').length).toBeLessThan(seriesMax + 10);
  expect(text).toMatch(/collection="other",phase="other",outcome="other",migration="shop"\} 500/);
});

test('the OpenMetrics format is served too', async () => {
  const registry = new Registry();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
  const context = opened();
  createMetrics(context, { registry });
  context.events.emit(write('orders'));
  const text = await registry.metrics();
  expect(text).toMatch(/^# TYPE changeover_writes counter$/m);
  expect(text).toContain('changeover_writes_total{collection="orders"');
});
