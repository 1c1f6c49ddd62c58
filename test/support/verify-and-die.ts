// A process that compares `orders` at one position and kills itself at its nth page. argv: servers (JSON), controlFile, nth.
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { verifyCollection } from '../../src/verify/index.ts';
import { type AlignedServers, openAligned } from './aligned-servers.ts';

const [servers = '', file = '', nth = '1'] = process.argv.slice(2);
const control = await sqlite({ file }).connect(systemRuntime);
const context = await openAligned(JSON.parse(servers) as AlignedServers, control, 'dying');
const state = await control.load(context.migration.name);
let pages = 0;
await verifyCollection(
  context,
  'orders',
  {
    currentState: () => state,
    batchRows: 50,
    aligned: { segmentRows: 150 },
    // What it has found is decided by the next process.
    recheck: { delaysMs: [60_000] },
    async pace() {
      pages += 1;
      if (pages === Number(nth)) process.kill(process.pid, 'SIGKILL');
      return true;
    },
  },
  new AbortController().signal,
);
