// A coordinator that begins a change of authority and kills itself just before a named step.
// argv: sourceUrl targetUrl controlFile to(source|target) step
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainOnce } from '../../src/capture/index.ts';
import { switchAuthority } from '../../src/cutover/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { openKillContext } from './kill-context.ts';

const [sourceUrl = '', targetUrl = '', controlFile = '', to = '', fatal = ''] =
  process.argv.slice(2);
const control = await sqlite({ file: controlFile }).connect(systemRuntime);
const context = await openKillContext({
  sourceUrl,
  targetUrl,
  control,
  mode: 'deferred',
  instance: `coordinator-${process.pid}`,
});
await switchAuthority(context, {
  to: to === 'source' ? 'source' : 'target',
  phaseAfter: to === 'source' ? 'read-switch' : 'write-switch',
  actor: 'test',
  reason: 'a kill test',
  leaseMs: 300,
  inDoubt: 'ignore',
  // On a busy machine it has to come to its step all the same.
  holdMs: 15_000,
  ackTimeoutMs: 10_000,
  drain: async () => drainOnce(context, await control.load('kill'), applierDefaults),
  onStep: (step) => {
    if (step === fatal) process.kill(process.pid, 'SIGKILL');
  },
});
process.exit(0);
