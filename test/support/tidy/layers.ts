/**
 * The layers of src/, lowest first. A folder may import itself and what stands beside it here;
 * a folder that is not in the table fails. `index` stands for the files directly in src/.
 */
const BASE = ['errors', 'runtime', 'record', 'mapping', 'migration'];
const PORTS = ['log', 'store', 'traffic', 'capture', 'queue', 'control'];
const ENGINES = [
  'router',
  'backfill',
  'verify',
  'gates',
  'cutover',
  'rescue',
  'controller',
  'report',
];
const BELOW_WORKER = [...BASE, ...PORTS, ...ENGINES, 'telemetry'];

export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  runtime: ['errors'],
  record: ['errors', 'runtime'],
  // Column types of different engines, and what becomes of a value between them.
  mapping: ['errors', 'runtime', 'record'],
  migration: ['errors', 'runtime', 'record', 'mapping'],

  // Ports may know each other in one direction; the rule against cycles sees to that.
  log: [...BASE, ...PORTS],
  store: [...BASE, ...PORTS],
  traffic: [...BASE, ...PORTS],
  capture: [...BASE, ...PORTS],
  queue: [...BASE, ...PORTS],
  control: [...BASE, ...PORTS],

  router: [...BASE, ...PORTS],
  backfill: [...BASE, ...PORTS],
  verify: [...BASE, ...PORTS],
  gates: [...BASE, ...PORTS, 'verify'],
  cutover: [...BASE, ...PORTS, 'verify', 'router'],
  // What a rescue left behind: tokens name its records, the comparator weighs them.
  rescue: [...BASE, ...PORTS, 'verify', 'router', 'cutover'],
  // The operator's side; `control` stays a pure port.
  controller: [...BASE, ...PORTS, 'gates', 'cutover', 'rescue'],

  // Reads what all of them left behind.
  report: [...BASE, ...PORTS, 'gates', 'controller'],

  adapters: [...BASE, ...PORTS],

  telemetry: [...BASE, ...PORTS, ...ENGINES],
  testing: [...BELOW_WORKER, 'adapters'],
  worker: BELOW_WORKER,
  // The one place that may load an adapter by itself: the default control store.
  config: [...BELOW_WORKER, 'worker', 'adapters'],
  index: [...BELOW_WORKER, 'worker', 'config'],
  http: [...BELOW_WORKER, 'worker', 'config', 'index'],
  // The demo is loaded by its command alone: see LAZY.
  cli: [...BELOW_WORKER, 'worker', 'config', 'http', 'index', 'adapters', 'testing', 'demo'],
  demo: [...BELOW_WORKER, 'worker', 'config', 'http', 'index', 'adapters', 'testing', 'cli'],
};

/** Imports that are allowed only as `await import(...)`; they do not count for cycles. */
export const LAZY: readonly string[] = ['cli -> demo'];

/** What several adapters share (SQL dialects); otherwise an adapter sees no other adapter. */
export const SHARED_ADAPTERS: readonly string[] = ['sql', 'sql-control', 'sql-records'];

/** Packages that only these folders may import; `*` at the end stands for anything. */
export const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    [
      'pg',
      'pg-copy-streams',
      'pg-cursor',
      'pg-pool',
      'postgres',
      'libsql',
      'better-sqlite3',
      'node:sqlite',
      'kysely',
      'mysql2',
      'mariadb',
      'mongodb',
      'redis',
      'ioredis',
      '@nats-io/*',
      '@aws-sdk/*',
    ].map((name) => [name, ['adapters', 'demo']]),
  ),
  'prom-client': ['telemetry'],
  '@opentelemetry/*': ['telemetry'],
  pino: ['telemetry'],
  commander: ['cli'],
  '@clack/*': ['cli', 'demo'],
  vitest: ['testing'],
  'fast-check': ['testing'],
  'node:timers': ['runtime', 'demo'],
  'node:timers/promises': ['runtime', 'demo'],
};

/** Folders that may read the clock, chance and timers directly. */
export const AMBIENT_HOMES: readonly string[] = ['runtime', 'demo'];
