import { clockTime, counted, fail, pass } from './answers.ts';
import type { Gate } from './gate.ts';

const DAY_MS = 86_400_000;

/** Somebody has tried the way back lately, in this generation, and it held. */
export const rollbackDrilled: Gate = {
  name: 'rollback-drilled',
  question: 'Was the way back drilled?',
  overridable: true,
  asked: ({ drillDaysMax }) => drillDaysMax > 0,
  async evaluate({ context, profile, lastDrill }) {
    const how = 'Drill it: changeover rollback --drill.';
    const drill = await lastDrill();
    if (drill === null) return fail(`The way back was never drilled. ${how}`);
    const { atMs, ok, phase, failed } = drill;
    const evidence = { atMs, ok, phase, failed };
    const when = `The last drill, in ${phase} at ${clockTime(atMs)},`;
    if (!ok) return fail(`${when} failed: ${failed.join(', ')}. Mend that, then ${how}`, evidence);
    const allowed = counted(profile.drillDaysMax, 'day');
    return context.runtime.clock.now() - atMs <= profile.drillDaysMax * DAY_MS
      ? pass(`${when} held.`, evidence)
      : fail(`${when} held, but is older than ${allowed}. ${how}`, evidence);
  },
};
