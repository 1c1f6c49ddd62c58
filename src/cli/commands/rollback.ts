import { createController, type RollbackResult } from '../../controller/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { authorityOf, type Phase } from '../../migration/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import { withControl } from '../control-session.ts';
import { failureOf } from '../failure.ts';
import { drillCommandResult, rehearsalResult } from '../rehearsal-text.ts';
import type { CommandResult } from '../result.ts';
import { actOf, type CommandContext, type Session, withSession } from '../session.ts';
import { phaseOf, stateResult } from '../state-result.ts';
import { duration } from '../words.ts';

export const addRollback: AddCommand = (program, perform) => {
  program
    .command('rollback')
    .description('back: never asks, never gated')
    .option('--to <phase>', 'an earlier phase')
    .option(
      '--dry-run',
      'say what it would do, what it would meet and how long writes would be held',
    )
    .option('--drill', 'prove the way back without going: moves nothing, says what it touches')
    .option('--name <name>', 'without a configuration: the migration of this name')
    .option('--control <address>', 'with --name: its control file, or postgres://…')
    .addHelpText('after', withoutConfiguration)
    .action((_options, command) => {
      const flags = flagsOf<RollbackFlags>(command);
      return perform(flags, (context) => rollback(context, flags));
    });
};

interface RollbackFlags {
  readonly to?: string;
  readonly dryRun?: boolean;
  readonly drill?: boolean;
  readonly name?: string;
  readonly control?: string;
}

const withoutConfiguration = `
In read-switch it sets the dial to 0 first; each further call goes one phase back.
When the configuration cannot be read, or its file is not here, the control store is enough:
  changeover rollback --name shop --control /srv/shop/.changeover/shop.db
  changeover rollback --name shop --control postgres://ops@control-host/ops
--control may be left out for .changeover/NAME.db in this folder. After the write switch, and for off and
shadow-write, the stores are needed as well, and so is the configuration.`;

/** While the source is the authority nobody waits longer than this for a store that hangs. */
const catalogMs = 500;

/** `rollback`: never asks, is never gated, and needs the control store alone while the source is the authority. */
async function rollback(context: CommandContext, flags: RollbackFlags): Promise<CommandResult> {
  const to = flags.to === undefined ? undefined : phaseOf(flags.to);
  const goal = to === undefined ? {} : { to };
  if (flags.dryRun === true || flags.drill === true) return tryBack(context, flags);
  if (flags.name !== undefined) return rollbackByControl(context, flags.name, flags.control, goal);
  if (flags.control !== undefined) {
    throw new ChangeoverError('CONFIG_INVALID', '--control needs --name: which migration?');
  }
  const back = async ({ controller, act }: Session): Promise<CommandResult> =>
    rolledBack(await controller.rollback({ ...act, ...goal }));
  const quick = { tolerateStores: true, catalogMs };
  const done = await withSession(context, quick, async (session) => {
    const { control, migration } = session.migration;
    const { phase } = await control.load(migration.name);
    return authorityOf(phase) === 'source' ? back(session) : null;
  }).catch(withTheWayRound);
  // A change of authority needs both stores, and all of their tables.
  return done ?? withSession(context, {}, back);
}

/** `--drill` and `--dry-run`: how the way back stands, without going. */
function tryBack(context: CommandContext, flags: RollbackFlags): Promise<CommandResult> {
  if (flags.name !== undefined)
    throw new ChangeoverError(
      'CONFIG_INVALID',
      'A drill or dry run looks at both stores: it needs the configuration (--config), not --name.',
    );
  return withSession(context, { tolerateStores: true }, async ({ controller, act, migration }) => {
    if (flags.drill === true) return drillCommandResult(context.io, await controller.drill(act));
    const state = await migration.control.load(migration.migration.name);
    if (authorityOf(state.phase) === 'target')
      return rehearsalResult(
        context.io,
        await controller.rehearse('source'),
        null,
        'changeover rollback',
      );
    const { rollback } = await controller.status();
    return {
      kind: 'rehearsal',
      verdict: rollback.ready ? 'yes' : 'no',
      stateVersion: state.version,
      data: { rollback },
      next: rollback.ready ? ['changeover rollback'] : [],
      text: [
        rollback.to === null
          ? rollback.message
          : `To ${rollback.to}: one entry in the control store. ${rollback.message}`,
      ],
    };
  });
}

/** At 3 a.m. nobody repairs a configuration first. */
function withTheWayRound(error: unknown): CommandResult {
  const failure = failureOf(error);
  if (failure.verdict !== 'usage') throw error;
  return { ...failure, next: ['changeover rollback --name NAME --control FILE_OR_URL'] };
}

/** The same through the control store alone: no configuration, no stores. */
function rollbackByControl(
  { globals, io }: CommandContext,
  name: string,
  address: string | undefined,
  goal: { readonly to?: Phase },
): Promise<CommandResult> {
  return withControl({ name, control: address, cwd: io.cwd }, async (migration) => {
    const { phase, version } = await migration.control.load(name);
    if (phase === 'off' && version === 1) {
      throw new ChangeoverError(
        'CONFIG_INVALID',
        `${migration.control.display} knows of no migration "${name}" that was started.`,
      );
    }
    if (authorityOf(phase) !== 'source') {
      throw new ChangeoverError(
        'TRANSITION_REFUSED',
        `"${name}" is in ${phase}: the target is the authority, and the switch back needs both stores. Repeat it with the configuration: \`changeover rollback --config FILE\`.`,
      );
    }
    const controller = createController(migration);
    return rolledBack(await controller.rollback({ ...actOf(globals), ...goal }));
  });
}

function rolledBack({ state, ms, cutover, pending }: RollbackResult): CommandResult {
  const done = stateResult(
    'rollback',
    state,
    [
      `${state.migration} is back in ${state.phase}${state.phase === 'read-switch' ? ', dial 0' : ''} (state version ${state.version}), after ${duration(ms)}.`,
      cutover
        ? `Writes go to the source again; they were held for ${duration(cutover.pauseMs)}.`
        : 'Every reachable instance follows within a second.',
      ...(cutover?.notes ?? []).map((note) => `TRAFFIC WAS NOT HELD: ${note}`),
      ...(cutover?.settled === false
        ? [
            `Not settled: ${cutover.problem} A worker goes on with it, or \`changeover switch-writes --recover\`.`,
          ]
        : []),
      ...(pending === null
        ? []
        : [
            `Still open: ${pending}. A worker goes on with it, or \`changeover switch-writes --recover\`.`,
          ]),
    ],
    { ms: Math.round(ms), pending, ...(cutover ? { cutover } : {}) },
  );
  return pending === null && cutover?.settled !== false ? done : { ...done, verdict: 'partial' };
}
