// Copies `names` from MariaDB to PostgreSQL with the real engine, in a process of its own so that its memory can be told.
// argv: sourceUrl targetUrl keyed|key-later. Prints one JSON line: { ms, rows, maxRssMb, cpuSeconds }.
import { memoryControl } from '../../src/adapters/memory/index.ts';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { runBackfill } from '../../src/backfill/index.ts';
import { defineMigration, openMigration } from '../../src/config/index.ts';
import { initialState, type MigrationState } from '../../src/migration/index.ts';

const [sourceUrl = '', targetUrl = '', mode = 'keyed'] = process.argv.slice(2);
const shape = { table: 'names', key: ['year', 'sex', 'name'] };
const opened = await openMigration(
  defineMigration({
    name: 'bench',
    source: mariadb({ url: sourceUrl }),
    target: postgres({ url: targetUrl }),
    control: memoryControl(),
    collections: { names: { source: shape, target: shape } },
  }),
);
const { source, target } = opened.stores;
await Promise.all([source.setup.install('authority', 1), target.setup.install('follower', 1)]);
const state: MigrationState = { ...initialState('bench'), phase: 'backfill' };
const started = performance.now();
const before = process.cpuUsage();
const result = await runBackfill(
  opened,
  'names',
  { currentState: () => state, deferIndexes: mode === 'keyed' ? 'none' : 'all' },
  new AbortController().signal,
);
const ms = performance.now() - started;
const { user, system } = process.cpuUsage(before);
const { maxRSS } = process.resourceUsage();
await Promise.all([source.setup.uninstall(), target.setup.uninstall()]);
await opened.close();
if (result.outcome !== 'finished') throw new Error(`The backfill ended as ${result.reason}.`);
process.stdout.write(
  `${JSON.stringify({ ms, rows: result.rowsInserted, maxRssMb: maxRSS / 1024, cpuSeconds: (user + system) / 1e6 })}\n`,
);
