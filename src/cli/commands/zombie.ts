import { programmeOf } from '../../config/programme-of.ts';
import { isChangeoverError } from '../../errors/index.ts';
import { type ProgrammeStatus, programmeStatus } from '../../report/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import { programmeLines } from '../programme-text.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { painter } from '../terminal-io.ts';
import type { Verdict } from '../verdict.ts';

export const addZombie: AddCommand = (program, perform) => {
  program
    .command('zombie')
    .description('does it still move? for cron: 0 yes, 1 stalled or past its kill date, 3 unknown')
    .action((_options, command) => perform(flagsOf(command), zombie));
};

/** A migration that nobody asks about must not wait long for a store that is down. */
const CATALOG_MS = 1_000;

/** How a standing is answered. Near its date it still moves. */
export const zombieVerdicts: Readonly<Record<ProgrammeStatus['verdict'], Verdict>> = {
  fine: 'yes',
  near: 'yes',
  stalled: 'no',
  overdue: 'no',
  unknown: 'unknown',
};

/** `zombie`: one line, and an exit code. Looks at the control store alone; nothing happens but that it is told. */
async function zombie(context: CommandContext): Promise<CommandResult> {
  try {
    return await withSession(
      context,
      { tolerateStores: true, catalogMs: CATALOG_MS },
      async ({ migration }) => {
        const standing = await programmeStatus(migration, programmeOf(migration.options));
        const { version } = await migration.control.load(migration.migration.name);
        return zombieResult(migration.migration.name, standing, version, context);
      },
    );
  } catch (error) {
    // A control store that does not answer is no proof that nobody works.
    if (!isChangeoverError(error, 'CONTROL_UNAVAILABLE')) throw error;
    return {
      kind: 'zombie',
      verdict: 'unknown',
      stateVersion: null,
      data: { code: error.code, message: error.message },
      next: [],
      text: [`unknown: ${error.message}`],
    };
  }
}

function zombieResult(
  name: string,
  standing: ProgrammeStatus,
  stateVersion: number,
  { io }: CommandContext,
): CommandResult {
  const nothing = standing.phase === 'off' ? 'it has not begun' : 'it moves';
  const said = standing.reasons.length === 0 ? nothing : standing.reasons.join(' ');
  const cost = standing.cost;
  const money = cost === null ? '' : ` Cost so far: ${cost.amount} ${cost.currency}.`;
  return {
    kind: 'zombie',
    verdict: zombieVerdicts[standing.verdict],
    stateVersion,
    data: {
      ...standing,
      lines: programmeLines(standing, painter({ ...io, env: { NO_COLOR: '1' } })),
    },
    next: standing.verdict === 'fine' ? [] : ['changeover status'],
    text: [`${name}: ${standing.phase}, ${standing.verdict}: ${said}${money}`],
  };
}
