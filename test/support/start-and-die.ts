// A process that starts the migration `kill` and kills itself at a named moment.
// argv: sourceUrl targetUrl controlFile moment. Exits 0 when it came to the end first.
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { createController } from '../../src/controller/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { openKillContext } from './kill-context.ts';

const [sourceUrl = '', targetUrl = '', file = '', moment = ''] = process.argv.slice(2);
const control = await sqlite({ file }).connect(systemRuntime);
const context = await openKillContext({
  sourceUrl,
  targetUrl,
  control,
  mode: 'serial',
  instance: `starter-${process.pid}`,
});
const dieAt = (name: string): void => {
  if (name === moment) process.kill(process.pid, 'SIGKILL');
};

function dying(side: Side): MigrationStore {
  const store = context.stores[side];
  return {
    ...store,
    setup: {
      ...store.setup,
      async install(...given) {
        const installing = store.setup.install(...given);
        if (moment === `${side} installing`) await systemRuntime.clock.sleep(3);
        dieAt(`${side} installing`);
        await installing;
        dieAt(`${side} installed`);
      },
    },
    guard: {
      ...store.guard,
      async change(...given) {
        const changed = await store.guard.change(...given);
        const [, { role }] = given;
        dieAt(`${side} guard ${role}`);
        return changed;
      },
    },
  };
}

const stores = { source: dying('source'), target: dying('target') };
const controller = createController({ ...context, stores });
await controller.start({ actor: 'test', reason: 'it begins', truncateTarget: true });
dieAt('started');
process.exit(0);
