import type { RollbackResult } from '../../controller/index.ts';
import { authorityOf } from '../../migration/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { phaseOf, stateResult } from '../state-result.ts';
import { duration } from '../words.ts';

export const addRollback: AddCommand = (program, perform) => {
  program
    .command('rollback')
    .description('back: never asks, never gated')
    .option('--to <phase>', 'an earlier phase')
    .action((_options, command) => {
      const flags = flagsOf<{ readonly to?: string }>(command);
      return perform(flags, (context) => rollback(context, flags));
    });
};

/** While the source is the authority nobody waits longer than this for a store that hangs. */
const catalogMs = 500;

/** `rollback`: never asks, is never gated, and needs the control store alone while the source is the authority. */
async function rollback(
  context: CommandContext,
  flags: { readonly to?: string },
): Promise<CommandResult> {
  const to = flags.to === undefined ? undefined : phaseOf(flags.to);
  const back = async ({ controller, act }: Session): Promise<CommandResult> =>
    rolledBack(await controller.rollback({ ...act, ...(to === undefined ? {} : { to }) }));
  const quick = { tolerateStores: true, catalogMs };
  const done = await withSession(context, quick, async (session) => {
    const { control, migration } = session.migration;
    const { phase } = await control.load(migration.name);
    return authorityOf(phase) === 'source' ? back(session) : null;
  });
  // A change of authority needs both stores, and all of their tables.
  return done ?? withSession(context, {}, back);
}

function rolledBack({ state, ms, cutover, pending }: RollbackResult): CommandResult {
  const done = stateResult(
    'rollback',
    state,
    [
      `${state.migration} is back in ${state.phase}, dial 0 (state version ${state.version}), after ${duration(ms)}.`,
      cutover
        ? `Writes go to the source again; they were held for ${duration(cutover.pauseMs)}.`
        : 'Every reachable instance follows within a second.',
      ...(pending === null
        ? []
        : [
            `Still open: ${pending}. A worker goes on with it, or \`changeover switch-writes --recover\`.`,
          ]),
    ],
    { ms: Math.round(ms), pending, ...(cutover ? { cutover } : {}) },
  );
  return pending === null ? done : { ...done, verdict: 'partial' };
}
