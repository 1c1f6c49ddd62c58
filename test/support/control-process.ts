// A process that uses a control store, for tests with several: `node --import tsx control-process.ts <address> <verb> [count]`.
// Prints one JSON value a line. `watch`: each version until it is killed. `commit`: toggles until it has won `count`
// times, prints its wins. `evidence`: adds `count` times. `fill`: writes notes until a call fails, prints the error.
import { postgresControl } from '../../src/adapters/postgres/postgres-control-store.ts';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import type { ControlStore } from '../../src/control/index.ts';
import { isChangeoverError } from '../../src/errors/index.ts';
import { isRefusal, transition } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';

const [address = '', verb = '', count = '10'] = process.argv.slice(2);
const connector = address.includes('://')
  ? postgresControl({ url: address })
  : sqlite({ file: address });
const store = await connector.connect(systemRuntime);
const say = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};
const entry = { actor: `process ${process.pid}`, action: 'toggle', reason: '', detail: {} };

async function commit(control: ControlStore, wins: number): Promise<void> {
  const won: number[] = [];
  while (won.length < wins) {
    const state = await control.load('shop');
    const next = transition(
      state,
      state.phase === 'off'
        ? { type: 'start', shadow: false }
        : { type: state.workHeld ? 'resume-work' : 'hold-work' },
    );
    if (isRefusal(next)) throw new Error(next.refused);
    if (await control.commit(next, entry)) won.push(next.version);
  }
  say(won);
}

async function evidence(control: ControlStore, times: number): Promise<void> {
  const zero = { matched: 0, suspect: 0, confirmed: 0, shed: 0, timedOut: 0, failed: 0 };
  for (let done = 0; done < times; done++) {
    await control.evidence.add('shop', [
      { collection: 'customers', detector: 'verify', minute: 1, compared: 1, ...zero },
    ]);
  }
}

async function fill(control: ControlStore): Promise<void> {
  const detail = { text: 'x'.repeat(10_000) };
  try {
    for (let done = 0; done < 10_000; done++) await control.note('shop', { ...entry, detail });
  } catch (error) {
    say(isChangeoverError(error) ? { code: error.code, message: error.message } : String(error));
  }
}

if (verb === 'watch') {
  store.watch(
    'shop',
    ({ version }) => say(version),
    (error) => say(String(error)),
  );
  setInterval(() => {}, 60_000);
} else {
  if (verb === 'commit') await commit(store, Number(count));
  if (verb === 'evidence') await evidence(store, Number(count));
  if (verb === 'fill') await fill(store);
  await store.close();
}
