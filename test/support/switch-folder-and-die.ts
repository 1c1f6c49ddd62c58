// A coordinator that loads a configuration, changes authority and kills itself just before a named step.
// argv: folder to(source|target) step
import { loadConfig, openMigration } from '../../src/config/index.ts';
import { switchAuthority } from '../../src/cutover/index.ts';

const [folder = '', to = '', fatal = ''] = process.argv.slice(2);
const { definition } = await loadConfig(folder);
const migration = await openMigration(definition, { folder });
await switchAuthority(migration, {
  to: to === 'source' ? 'source' : 'target',
  phaseAfter: to === 'source' ? 'read-switch' : 'write-switch',
  actor: 'test',
  reason: 'a kill test',
  leaseMs: 600,
  onStep: (step) => {
    if (step === fatal) process.kill(process.pid, 'SIGKILL');
  },
});
process.exit(0);
