import { type Approval, approvalsOf, plainName, samePerson } from '../control/index.ts';
import { clockTime, fail, pass } from './answers.ts';
import type { Gate, GateInput } from './gate.ts';

/**
 * Enough people other than the one who advances have approved exactly this plan. Names are claims: they stand in the audit, and nothing here proves who
 * typed them.
 */
export const approved: Gate = {
  name: 'approval',
  question: 'Have other people than the one who advances approved this step?',
  // Who may advance alone by an override needs no approval.
  overridable: false,
  asked: ({ approvals }, to) => (approvals[to] ?? 0) > 0,
  async evaluate(input) {
    const { context, state, to, profile, requester, plan } = input;
    const needed = profile.approvals[to] ?? 0;
    const all = await approvalsOf(context, state, to);
    const judged = all.map((approval) => ({ ...approval, void: voidBecause(approval, input) }));
    const people = new Map<string, Approval>();
    for (const one of judged)
      if (one.void === null && !people.has(plainName(one.by))) people.set(plainName(one.by), one);
    const evidence = {
      needed,
      plan,
      requester,
      approvals: judged.map(({ by, atMs, reason, void: why }) => ({ by, atMs, reason, void: why })),
    };
    const names = [...people.values()].map(({ by, atMs }) => `${by} (${clockTime(atMs)})`);
    const seen = `${people.size} of ${needed}${names.length > 0 ? `: ${names.join(', ')}` : ''}`;
    if (people.size >= needed) {
      const others = requester === null ? ' None of them may be the one who advances.' : '';
      return pass(`Approved by ${seen}.${others}`, evidence);
    }
    const lost = judged.flatMap(({ by, void: why }) => (why === null ? [] : [`${by}: ${why}`]));
    const voided = lost.length > 0 ? ` Not counted: ${lost.join('; ')}.` : '';
    return fail(
      `Approved by ${seen}.${voided} Somebody else runs: changeover approve ${to} --as NAME --reason TEXT.`,
      evidence,
      { atMs: null, text: 'cannot be predicted: it waits for approvals' },
    );
  },
};

/** Why an approval does not count now; null: it does. */
function voidBecause(approval: Approval, { context, profile, requester, plan }: GateInput) {
  if (requester !== null && samePerson(approval.by, requester))
    return 'is the one who wants to advance';
  if (approval.plan !== plan)
    return 'was given for another plan (comparator, thresholds or gates have changed)';
  const ageMs = context.runtime.clock.now() - approval.atMs;
  return ageMs > profile.approvalMinutes * 60_000
    ? `has expired after ${profile.approvalMinutes} minutes`
    : null;
}
