// An operator who goes back by a rescue, or works on its gap, and is killed just before a named moment.
// argv: sourceUrl targetUrl controlFile what(rescue|unreachable|collect|apply|resolve) moment
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { openKillContext } from './kill-context.ts';

const [sourceUrl = '', targetUrl = '', controlFile = '', what = '', moment = ''] =
  process.argv.slice(2);

const die = (): void => {
  process.kill(process.pid, 'SIGKILL');
};

/** Calls of the ledger, of the state and of the stores by name; the one that is the moment is never made, or with `after:` its answer never comes. */
function dying(context: MigrationContext): MigrationContext {
  const wrapped = <T extends object>(name: string, port: T): T =>
    new Proxy(port, {
      get(target, property, receiver) {
        const value: unknown = Reflect.get(target, property, receiver);
        if (typeof value !== 'function') return value;
        const call = `${name}.${String(property)}`;
        return (...args: unknown[]) => {
          if (call === moment) die();
          const answer: unknown = Reflect.apply(value, target, args);
          if (`after:${call}` !== moment) return answer;
          return Promise.resolve(answer).then((done) => {
            die();
            return done;
          });
        };
      },
    });
  const { control, stores } = context;
  return {
    ...context,
    control: wrapped('control', { ...control, gaps: wrapped('gaps', control.gaps) }),
    stores: {
      source: {
        ...stores.source,
        records: wrapped('source', stores.source.records),
        queue: wrapped('source-queue', stores.source.queue),
      },
      target: {
        ...stores.target,
        guard: wrapped('target-guard', stores.target.guard),
        queue: wrapped('target-queue', stores.target.queue),
      },
    },
  };
}

const control = await sqlite({ file: controlFile }).connect(systemRuntime);
const opened = await openKillContext({
  sourceUrl,
  targetUrl,
  control,
  mode: 'deferred',
  instance: `operator-${process.pid}`,
});
const act = { actor: 'test', reason: 'a kill test' };
const signal = new AbortController().signal;
const controller = createController(
  what.startsWith('c') || what === 'apply' || what === 'resolve' ? dying(opened) : opened,
  {
    cutover: { leaseMs: 300 },
    onStep: (step) => {
      if (step === moment) die();
    },
  },
);
if (what === 'rescue' || what === 'unreachable')
  await controller.rescue({ ...act, targetUnreachable: what === 'unreachable' });
else if (what === 'collect') await controller.gap.collect({ ...act, signal });
else if (what === 'apply')
  await controller.gap.apply({ ...act, mode: 'apply', listMax: 10, signal });
else await controller.gap.resolve({ ...act, take: 'source', which: 'all', signal });
process.exit(0);
