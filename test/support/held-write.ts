// A program of one write, begun while a switch holds writes; started by test/unit/held-write.test.ts.
import { openRig } from './router-rig.ts';

const rig = await openRig({ router: { holdMs: 600 } });
rig.publish({
  phase: 'read-switch',
  cutover: {
    attempt: 'a',
    owner: 'o',
    to: 'target',
    phaseAfter: 'write-switch',
    epoch: 2,
    writesHeld: true,
    status: 'running',
  },
});
while (rig.router.state().cutover === null) await rig.context.runtime.clock.sleep(5);
await rig.router
  .collection('customers')
  .put({ id: 1, name: 'Ada' })
  .catch((error: { readonly code?: string }) => console.log(error.code));
