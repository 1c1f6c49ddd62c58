import { type Span, trace } from '@opentelemetry/api';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createEventHub, initialState } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { bridgeSpans, createLogger, type TraceApi } from '../../src/telemetry/index.ts';

function opened() {
  const migration = { name: 'shop', collections: new Map() };
  return { migration, events: createEventHub(), instance: 'i1', runtime: systemRuntime };
}

function collected() {
  const lines: Record<string, unknown>[] = [];
  return { lines, write: (text: string) => void lines.push(JSON.parse(text)) };
}

test('each line says which migration, instance and state version it belongs to', () => {
  const context = opened();
  const destination = collected();
  createLogger(context, { destination });
  context.events.emit({ type: 'state', state: { ...initialState('shop'), version: 4 } });
  context.events.emit({ type: 'breaker', side: 'target', state: 'open' });
  expect(destination.lines).toMatchObject([
    { migration: 'shop', instance: 'i1', stateVersion: 4, event: 'state', phase: 'off' },
    { migration: 'shop', stateVersion: 4, event: 'breaker', level: 40 },
  ]);
});

test('single reads and writes are logged at trace only', () => {
  const context = opened();
  const destination = collected();
  const { logger } = createLogger(context, { destination });
  const shadow = {
    type: 'shadow-read',
    collection: 'orders',
    outcome: 'matched',
    ms: 1,
  } as const;
  context.events.emit(shadow);
  expect(destination.lines).toEqual([]);
  logger.level = 'trace';
  context.events.emit(shadow);
  expect(destination.lines).toMatchObject([{ level: 10, collection: 'orders' }]);
});

test("lines go to a child of the application's logger, until close", () => {
  const context = opened();
  const destination = collected();
  const parent = pino({ base: { service: 'checkout' } }, destination);
  const { close } = createLogger(context, { parent });
  const dead = { type: 'dead-letter', collection: 'orders', reason: 'check' } as const;
  context.events.emit(dead);
  close();
  context.events.emit(dead);
  expect(destination.lines).toMatchObject([
    { service: 'checkout', migration: 'shop', level: 50, reason: 'check' },
  ]);
  expect(destination.lines).toHaveLength(1);
});

test('a shadow read is a root span linked to the request, a write belongs to its trace', () => {
  const started: { name: string; options: Record<string, unknown>; ended: number[] }[] = [];
  const requestContext = { traceId: 'a', spanId: 'b', traceFlags: 1 };
  const api: TraceApi<typeof requestContext> = {
    getTracer: () => ({
      startSpan(name, options) {
        const ended: number[] = [];
        started.push({ name, options, ended });
        return {
          spanContext: () => requestContext,
          setStatus: () => undefined,
          end: (time) => void ended.push(time ?? 0),
        };
      },
    }),
    getActiveSpan: () => ({ spanContext: () => requestContext }),
  };
  const context = opened();
  bridgeSpans(context, api);
  context.events.emit({ type: 'shadow-read', collection: 'orders', outcome: 'matched', ms: 9 });
  context.events.emit({ type: 'shadow-read', collection: 'orders', outcome: 'shed', ms: 0 });
  context.events.emit({
    type: 'write',
    collection: 'orders',
    phase: 'off',
    outcome: 'committed',
    authorityMs: 1,
    totalMs: 2,
  });
  expect(started.map(({ name }) => name)).toEqual([
    'changeover shadow-read orders',
    'changeover write orders',
  ]);
  const [shadow, write] = started;
  expect(shadow?.options).toMatchObject({ root: true, links: [{ context: requestContext }] });
  expect((shadow?.ended[0] ?? 0) - Number(shadow?.options['startTime'])).toBe(9);
  expect(write?.options).toMatchObject({ root: false });
  expect(write?.options).not.toHaveProperty('links');
});

test('the real OpenTelemetry API fits the bridge', () => {
  const context = opened();
  const stop = bridgeSpans<ReturnType<Span['spanContext']>>(context, trace);
  context.events.emit({ type: 'shadow-read', collection: 'orders', outcome: 'matched', ms: 9 });
  stop();
});
