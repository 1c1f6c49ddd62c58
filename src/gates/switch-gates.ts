import { counted, fail, pass } from './answers.ts';
import type { Gate } from './gate.ts';

/** All reads are served by the target already: the write switch moves writes only. */
export const dialComplete: Gate = {
  name: 'dial-complete',
  question: 'Does the target serve all reads?',
  overridable: true,
  async evaluate({ state }) {
    const { dialBasisPoints } = state;
    const evidence = { dialBasisPoints };
    return dialBasisPoints === 10_000
      ? pass('The dial is at 100 %.', evidence)
      : fail(`The dial is at ${dialBasisPoints / 100} %, not at 100 %.`, evidence);
  },
};

/** The target can be the authority: its queue, guard and objects are there and answer. */
export const reverseReady: Gate = {
  name: 'reverse-ready',
  question: 'Is the way back prepared?',
  overridable: false,
  async evaluate({ context, state }) {
    const { guard, queue, setup } = context.stores.target;
    const [row, depth, objects] = await Promise.all([guard.read(), queue.depth(), setup.objects()]);
    const evidence = {
      role: row.role,
      epoch: row.epoch,
      dead: depth.dead,
      objects: objects.length,
    };
    if (row.role !== 'follower' || row.epoch !== state.epoch)
      return fail(
        `The guard of the target is ${row.role}/${row.epoch}, expected follower/${state.epoch}.`,
        evidence,
      );
    if (objects.length === 0) return fail('The queue of the target is not installed.', evidence);
    if (depth.dead > 0)
      return fail(
        `In the queue of the target: ${counted(depth.dead, 'dead letter')}. See dlq list --side target, then dlq retry or dlq discard.`,
        evidence,
      );
    return pass('Queue and guard of the target are in place.', evidence);
  },
};
