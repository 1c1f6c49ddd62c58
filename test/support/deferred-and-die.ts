// A process that backfills `parcels` with its indexes down and kills itself at the nth time that it comes to a named moment.
// argv: sourceUrl targetUrl controlFile bytes|transformed moment nth. Exits 0 when it came to the end first.
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { runBackfill } from '../../src/backfill/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { parcels } from './deferred-fixture.ts';
import { postgresFixture } from './postgres-fixture.ts';

const [source = '', target = '', file = '', path = '', moment = '', nth = '1'] =
  process.argv.slice(2);
const control = await sqlite({ file }).connect(systemRuntime);
let met = 0;
const dieAt = (name: string): void => {
  if (name !== moment) return;
  met += 1;
  if (met === Number(nth)) process.kill(process.pid, 'SIGKILL');
};
/** Dies at some time while `work` is under way. */
const dieDuring = async <T>(name: string, work: Promise<T>): Promise<T> => {
  if (moment === name) {
    await systemRuntime.clock.sleep(Number(nth));
    process.kill(process.pid, 'SIGKILL');
  }
  const result = await work;
  dieAt(`after ${name}`);
  return result;
};
const options = { control, joins: true, instance: `backfill-${process.pid}` };
const collection = parcels(path === 'bytes' ? 'bytes' : 'transformed');
const fixture = await postgresFixture({ source, target }, collection, options);
const { stores } = fixture.context;
const { door, setup } = stores.target;
const { deferIndexes, restoreIndexes } = setup;
if (!deferIndexes || !restoreIndexes) throw new Error('this store defers no indexes');
const dying: MigrationStore = {
  ...stores.target,
  setup: {
    ...setup,
    deferIndexes: (...given) => dieDuring('deferring', deferIndexes(...given)),
    restoreIndexes: (...given) => dieDuring('restoring', restoreIndexes(...given)),
  },
  door: {
    ...door,
    writeChunk: (...given) => dieDuring('writing', door.writeChunk(...given)),
    copyChunk: (...given) => dieDuring('writing', door.copyChunk!(...given)),
  },
};
await runBackfill(
  { ...fixture.context, stores: { source: stores.source, target: dying } },
  'parcels',
  {
    currentState: fixture.state,
    deferIndexes: 'all',
    chunkRowsInitial: 1_000,
    chunkRowsMax: 1_500,
    concurrency: 3,
  },
  new AbortController().signal,
);
await fixture.close();
