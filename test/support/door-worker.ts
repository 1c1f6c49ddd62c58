// A process that sends changes or chunks through a PostgreSQL door until it is killed. One line on stdout for each step that it
// knows to be done. Arguments: url, `apply` | `chunk` | `zombie` | `log`, first number, last number. `log` goes on where the store's checkpoint stands.
import { postgres } from '../../src/adapters/postgres/index.ts';
import { messageOf } from '../../src/errors/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import {
  batchOf,
  chunkRecords,
  chunkRows,
  doorShapes,
  doorStream,
  positionOf,
} from './door-work.ts';

const [url = '', mode = '', from = '0', until = '0'] = process.argv.slice(2);
const store = await postgres({ url }).connect({
  migration: 'kill',
  side: 'target',
  shapes: doorShapes,
  runtime: systemRuntime,
});
const context = { epoch: 1, timeoutMs: 30_000 };
const say = (line: string): Promise<void> =>
  new Promise((resolve) => {
    process.stdout.write(`${line}\n`, () => resolve());
  });

if (mode === 'log') {
  const log = store.door.log;
  if (!log) throw new Error('no door.log');
  let at = await log.begin(doorStream, positionOf(0));
  for (let number = Number(at.position.sequence); number < Number(until); number += 1) {
    const to = { ...positionOf(number + 1), skip: 0 };
    await log.apply({ stream: doorStream, from: at, to, changes: batchOf(number) }, context);
    at = to;
    await say(`done ${number}`);
  }
}

for (let number = Number(from); mode !== 'log' && number < Number(until); number += 1) {
  if (mode === 'apply') {
    await store.door.apply(batchOf(number), context);
    await say(`done ${number}`);
    continue;
  }
  const range = {
    after: number === 0 ? null : [String(number * chunkRows)],
    until: [String((number + 1) * chunkRows)],
  };
  const ticket = await store.door.beginChunk('wares', number, range, `worker ${process.pid}`);
  await say(`begun ${number}`);
  // The zombie's parent stops it here, and wakes it when somebody else has finished the chunk.
  if (mode === 'zombie') await systemRuntime.clock.sleep(300);
  try {
    await store.door.writeChunk(ticket, chunkRecords(number), context);
    await say(`done ${number}`);
  } catch (error) {
    await say(`failed ${messageOf(error)}`);
  }
}
await store.close();
