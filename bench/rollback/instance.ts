// One application instance with a router, started by `fleet.ts`: argv[2] is JSON of `Addresses` and `instance`. Tells its parent when it
// routes by a new state (`InstanceMessage`); on command it also polls a flag by hand. Ends with its parent.
import pg from 'pg';
import { createRouter } from '../../src/router/index.ts';
import type { InstanceCommand, InstanceMessage } from './fleet.ts';
import { type Addresses, openBenchMigration } from './migration.ts';

const given = JSON.parse(process.argv[2] ?? '') as Addresses & { readonly instance: string };
/** The kernel's monotonic clock, the same in every process of a machine. */
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;
const tell = (message: InstanceMessage): void => {
  process.send?.(message);
};

const context = await openBenchMigration(given, given.instance);
context.events.subscribe((event) => {
  if (event.type === 'state') tell({ type: 'state', version: event.state.version, atMs: nowMs() });
});
const router = await createRouter(context, { label: `pid ${process.pid}` });

/** The alternative: a row that everybody looks at once a second. */
let stopPolling = (): void => {};
function poll(everyMs: number): void {
  const client = new pg.Client({ connectionString: given.control });
  let seen = 0;
  const look = async (): Promise<void> => {
    const { rows } = await client.query('SELECT version FROM flag');
    if (rows[0].version === seen) return;
    seen = rows[0].version;
    tell({ type: 'flag', version: seen, atMs: nowMs() });
  };
  void client.connect().then(() => {
    const timer = setInterval(() => void look().catch(() => {}), everyMs);
    stopPolling = () => {
      clearInterval(timer);
      void client.end();
    };
  });
}

process.on('message', (command: InstanceCommand) => {
  if (command.type === 'poll')
    setTimeout(() => poll(command.everyMs), Math.random() * command.everyMs);
  else stopPolling();
});
process.on('disconnect', () => process.exit(0));
tell({ type: 'ready', rssBytes: process.memoryUsage().rss });
void router;
