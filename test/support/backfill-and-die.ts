// A process that backfills `customers` and kills itself at the nth time that it comes to a named moment.
// argv: sourceUrl targetUrl controlFile moment nth. Exits 0 when it came to the end first, and prints the result.
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { runBackfill } from '../../src/backfill/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { customers, postgresFixture } from './postgres-fixture.ts';

const [source = '', target = '', file = '', moment = '', nth = '1'] = process.argv.slice(2);
const control = await sqlite({ file }).connect(systemRuntime);
let met = 0;
const dieAt = (name: string): void => {
  if (name !== moment) return;
  met += 1;
  if (met === Number(nth)) process.kill(process.pid, 'SIGKILL');
};
const options = { control, joins: true, instance: `backfill-${process.pid}` };
const fixture = await postgresFixture({ source, target }, customers, options);
const { stores } = fixture.context;
const dying: Readonly<Record<'source' | 'target', MigrationStore>> = {
  source: {
    ...stores.source,
    records: {
      ...stores.source.records,
      async scan(...given) {
        const page = await stores.source.records.scan(...given);
        dieAt('read');
        return page;
      },
    },
    queue: {
      ...stores.source.queue,
      async enqueue(...given) {
        const ids = await stores.source.queue.enqueue(...given);
        dieAt('buried');
        return ids;
      },
    },
  },
  target: {
    ...stores.target,
    door: {
      ...stores.target.door,
      async beginChunk(...given) {
        const ticket = await stores.target.door.beginChunk(...given);
        dieAt('begun');
        return ticket;
      },
      async writeChunk(...given) {
        const writing = stores.target.door.writeChunk(...given);
        if (moment === 'writing') await systemRuntime.clock.sleep(1);
        dieAt('writing');
        const written = await writing;
        dieAt('written');
        return written;
      },
    },
  },
};
const saving = {
  ...control,
  checkpoint: control.checkpoint.bind(control),
  async saveCheckpoint(...given: Parameters<typeof control.saveCheckpoint>) {
    await control.saveCheckpoint(...given);
    dieAt('checkpointed');
  },
};
const result = await runBackfill(
  { ...fixture.context, stores: dying, control: saving },
  'customers',
  { currentState: fixture.state, chunkRowsInitial: 100, chunkRowsMax: 150, concurrency: 3 },
  new AbortController().signal,
);
process.stdout.write(`${JSON.stringify(result)}\n`);
await fixture.close();
