// A process that writes through the router and kills itself at a named moment of a chosen write.
// argv: sourceUrl targetUrl controlFile mode(serial|parallel|deferred|fail-closed) moment count
// Prints `ack N` for each acknowledged write before anything else happens. Exits 0 only if it was never killed.
import { writeSync } from 'node:fs';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { createRouter } from '../../src/router/index.ts';
import type { Door, RecordStore } from '../../src/store/index.ts';
import { openKillContext } from './kill-context.ts';

const [sourceUrl = '', targetUrl = '', controlFile = '', mode = '', moment = '', count = '0'] =
  process.argv.slice(2);
const control = await sqlite({ file: controlFile }).connect(
  (await import('../../src/runtime/index.ts')).systemRuntime,
);
const context = await openKillContext({
  sourceUrl,
  targetUrl,
  control,
  mode,
  instance: `writer-${process.pid}`,
});

/** The write at which the process dies; those before it are ordinary. */
const fatal = Number(count);
let writes = 0;
const dieAt = (name: string): void => {
  if (moment === name && writes === fatal) process.kill(process.pid, 'SIGKILL');
};

const { source, target } = context.stores;
const records: RecordStore = {
  ...bound(source.records),
  async write(write) {
    dieAt('before-authority');
    const given = write.beforeCommit;
    const beforeCommit =
      given &&
      (async (written: Parameters<typeof given>[0]): Promise<void> => {
        await given(written);
        dieAt('follower-committed-authority-open');
      });
    const written = await source.records.write({
      ...write,
      ...(beforeCommit ? { beforeCommit } : {}),
    });
    dieAt('after-authority');
    // Both run at once: whichever is faster, this write is not acknowledged before the follower's transaction is open.
    if (moment === 'follower-open' && writes === fatal) await new Promise(() => {});
    return written;
  },
};
const door: Door = {
  ...bound(target.door),
  async apply(changes, doorContext) {
    dieAt('before-follower');
    const verdicts = await target.door.apply(changes, doorContext);
    if (mode !== 'fail-closed') dieAt('after-follower');
    return verdicts;
  },
  async open(change, doorContext) {
    const open = await target.door.open(change, doorContext);
    dieAt('follower-open');
    return open;
  },
};
const interposed = {
  ...context,
  stores: { source: { ...bound(source), records }, target: { ...bound(target), door } },
};
const router = await createRouter(interposed, { graceMs: 200, authorityTimeoutMs: 1_000 });
const things = router.collection('things');

for (let index = 1; index <= fatal + 5; index++) {
  writes = index;
  // Each key is written twice and every fifth is deleted, so that inserts, updates and deletes all meet the moment.
  const id = Math.ceil(index / 2);
  if (index % 10 === 0) await things.delete(id);
  else await things.put({ id, value: `write ${index}` });
  writeSync(1, `ack ${index}\n`);
}
process.exit(0);

/** A copy of an object with its methods bound, so that single ones can be replaced. */
function bound<T extends object>(object: T): T {
  const copy: Record<string, unknown> = {};
  for (
    let level: object | null = object;
    level && level !== Object.prototype;
    level = Object.getPrototypeOf(level)
  ) {
    for (const name of Object.getOwnPropertyNames(level)) {
      if (name === 'constructor' || name in copy) continue;
      const value: unknown = (object as Record<string, unknown>)[name];
      copy[name] = typeof value === 'function' ? value.bind(object) : value;
    }
  }
  return copy as T;
}
