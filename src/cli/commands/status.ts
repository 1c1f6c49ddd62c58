import { type BackfillProgress, progressOfCheckpoint } from '../../backfill/index.ts';
import { programmeOf } from '../../config/programme-of.ts';
import type { Status } from '../../controller/index.ts';
import { saysHeld } from '../../cutover/index.ts';
import { errorCatalogue } from '../../errors/index.ts';
import type { GateVerdict } from '../../gates/index.ts';
import { routingTable, type Side } from '../../migration/index.ts';
import { type ProgrammeStatus, programmeStatus } from '../../report/index.ts';
import { type RepairStop, stoppedRepairs } from '../../verify/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import { earliestText, gateLines } from '../gate-text.ts';
import { programmeLines } from '../programme-text.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { type Paint, painter, type Tone } from '../terminal-io.ts';
import type { Verdict } from '../verdict.ts';
import { followingLine, rogueLines, undoLines } from '../way-back-text.ts';
import { columns, count, duration, grouped, size } from '../words.ts';
import { zombieVerdicts } from './zombie.ts';

export const addStatus: AddCommand = (program, perform) => {
  program
    .command('status')
    .description('where are we, may we advance, why not, how fast can we undo')
    .option(
      '--exit-code',
      'end with 1 when it is stalled or past its kill date, with 3 when that is unknown',
    )
    .action((_options, command) => {
      const flags = flagsOf<StatusFlags>(command);
      return perform(flags, (context) => status(context, flags));
    });
};

interface StatusFlags {
  readonly exitCode?: boolean;
}

/** `status`: where are we, may we advance, why not, how fast can we undo. */
function status(context: CommandContext, { exitCode }: StatusFlags): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async (session) => {
    const { migration } = session;
    const seen = await session.controller.status();
    const stopped = await stoppedRepairs(migration);
    const programme = await programmeStatus(migration, programmeOf(migration.options));
    return {
      kind: 'status',
      verdict: verdictOf(seen, exitCode ? zombieVerdicts[programme.verdict] : 'yes'),
      stateVersion: seen.state.version,
      data: {
        ...seen,
        progress: progressOfAll(seen),
        mayAdvance: mayAdvance(seen),
        control: migration.control.display,
        programme,
        repairsStopped: stopped,
      },
      next: nextCommands(seen),
      text: [
        ...statusText(seen, programme, session, painter(context.io)),
        ...stopped.flatMap((stop) => stoppedLines(stop, painter(context.io))),
      ],
    };
  });
}

/** Until a person lets it go on, what differs stays as it is. */
function stoppedLines({ collection, keys, records }: RepairStop, paint: Paint): readonly string[] {
  return [
    '',
    paint('bad', `Repair of ${collection} has stopped itself`),
    `  ${grouped(keys)} keys of about ${grouped(records)} records differ or were repaired within a day: that is a bug, not drift.`,
    `  changeover mismatch list, then changeover mismatch repair ${collection} --resume`,
  ];
}

function verdictOf({ foreign, sides }: Status, standing: Verdict): Verdict {
  if (foreign !== null) return 'refused';
  if (standing !== 'yes') return standing;
  // Part of the picture is missing when a store did not answer.
  return Object.values(sides).some(({ error }) => error !== null) ? 'partial' : 'done';
}

const answers: Readonly<Record<GateVerdict, string>> = {
  pass: 'yes',
  fail: 'no',
  unknown: 'unknown',
};
export const tones: Readonly<Record<GateVerdict, Tone>> = {
  pass: 'good',
  fail: 'bad',
  unknown: 'doubt',
};

function mayAdvance({ foreign, next, state }: Status): {
  readonly to: string | null;
  readonly answer: string;
} {
  if (foreign !== null) return { to: next?.to ?? null, answer: 'no' };
  if (next !== null) return { to: next.to, answer: answers[next.verdict] };
  return state.phase === 'off' ? { to: 'dual-write', answer: 'yes' } : { to: null, answer: 'no' };
}

function nextCommands({ foreign, state, next, rollback }: Status): readonly string[] {
  if (foreign !== null) return ['changeover status --config FILE'];
  const commands: string[] = [];
  if (state.cutover) commands.push('changeover switch-writes --recover');
  if (state.phase === 'off') commands.push('changeover check', 'changeover start');
  if (state.phase === 'retired') commands.push('changeover decommission');
  if (state.phase === 'read-switch' && state.dialBasisPoints < 10_000)
    commands.push('changeover dial PERCENT');
  if (next?.verdict === 'pass') {
    commands.push(
      next.to === 'write-switch'
        ? `changeover switch-writes --expect ${next.stateVersion}`
        : `changeover advance --expect ${next.stateVersion}`,
    );
  }
  if (rollback.to !== null) commands.push('changeover rollback');
  return commands;
}

function statusText(
  seen: Status,
  programme: ProgrammeStatus,
  session: Session,
  paint: Paint,
): readonly string[] {
  const { state, next } = seen;
  return [
    ...foreignLines(seen, paint),
    paint('strong', `${state.migration}: ${state.phase}`) +
      paint(
        'faint',
        `  (state version ${state.version}, generation ${state.generation}, epoch ${state.epoch})`,
      ),
    '',
    paint('strong', 'Where are we?'),
    ...where(seen, session).map((line) => `  ${line}`),
    ...programmeLines(programme, paint).map((line) => `  ${line}`),
    '',
    paint('strong', 'May we advance?'),
    `  ${advanceLine(seen, paint)}`,
    ...(next === null || next.verdict === 'pass'
      ? []
      : ['', paint('strong', 'Why not?'), ...whyNot(seen, paint).map((line) => `  ${line}`)]),
    '',
    paint('strong', 'How fast can we undo?'),
    ...undoLines(seen, paint).map((line) => `  ${line}`),
  ];
}

/** Loud, and first: whatever else is said comes from the wrong control store. */
function foreignLines({ foreign }: Status, paint: Paint): readonly string[] {
  if (foreign === null) return [];
  const { authority, message } = foreign;
  const writes = authority === null ? '' : ` By the guards, writes belong to the ${authority}.`;
  return [
    paint('bad', 'WRONG CONTROL STORE'),
    `  ${message}${writes}`,
    `  ${errorCatalogue.CONTROL_MISMATCH.action}`,
    '',
  ];
}

function where(seen: Status, { migration }: Session): readonly string[] {
  const { state, sides, fleet, backfill, mismatches } = seen;
  const routing = routingTable[state.phase];
  const dial = state.dialBasisPoints / 100;
  const segments = state.segments.length > 0 ? ` and segments ${state.segments.join(', ')}` : '';
  const reads =
    routing.reads === 'dial' ? `${dial} % target${segments}, else source` : routing.authority;
  const lines = [`reads: ${reads}; writes: ${routing.authority}`];
  if (state.workHeld) lines.push('background work is held by the operator');
  if (state.cutover) {
    const { attempt, owner, to, status } = state.cutover;
    lines.push(`a change of authority to the ${to} is ${status} (attempt ${attempt} by ${owner})`);
  }
  for (const side of ['source', 'target'] as const)
    if (state.cutover === null && saysHeld(sides[side].guard?.attempt ?? ''))
      lines.push(
        `traffic may still be held by hooks (mark in the guard of the ${side}): a worker that has them in its configuration lets it go, or changeover switch-writes --recover`,
      );
  if (state.gap)
    lines.push(
      `the gap of rescue ${state.gap.rescue} is open (${state.gap.stage}): changeover rescue list`,
    );
  const rows = (['source', 'target'] as const).map((side) => sideRow(side, sides[side], migration));
  lines.push(...columns(rows));
  if (seen.log !== null) lines.push(logLine(seen.log));
  if (seen.following !== null) lines.push(followingLine(seen.following));
  if (seen.rogues !== null) lines.push(...rogueLines(seen.rogues));
  for (const { stateVersion, instances } of fleet) {
    const labels = instances.map(
      ({ id, label, kind, alive }) =>
        `${label || id} (${kind}${alive ? '' : `, silent, id ${id}`})`,
    );
    const behind = stateVersion < state.version ? `, behind ${state.version}` : '';
    lines.push(
      `fleet: ${count(instances.length, 'instance')} at version ${stateVersion}${behind}: ${labels.join(', ')}`,
    );
  }
  if (fleet.length === 0) lines.push('fleet: no instance is registered');
  for (const checkpoint of backfill) {
    const { rowsRead, finishedAtMs, rowsDead } = checkpoint;
    const progress = progressOfCheckpoint(checkpoint, seen.observedAtMs);
    const { estimatedRatio } = progress;
    const percent = estimatedRatio === null ? '' : ` (about ${Math.floor(estimatedRatio * 100)} %)`;
    const of =
      finishedAtMs === null
        ? `of about ${grouped(progress.estimatedRows)}${percent}${forecast(progress)}`
        : 'finished';
    lines.push(
      `backfill of ${checkpoint.collection}: ${grouped(rowsRead)} rows, ${of}${rowsDead > 0 ? `, ${rowsDead} dead` : ''}`,
    );
  }
  lines.push(`mismatches: ${mismatches.open} open, ${mismatches.suspect} to be rechecked`);
  lines.push(`control store: ${migration.control.display}`);
  return lines;
}

const progressOfAll = ({ backfill, observedAtMs }: Status) =>
  backfill.map((checkpoint) => ({
    collection: checkpoint.collection,
    ...progressOfCheckpoint(checkpoint, observedAtMs),
  }));

/** Does it end, and when? Nothing is said about what is not known. */
export function forecast({
  convergencePerSecond,
  estimatedRemainingMs,
}: Pick<BackfillProgress, 'convergencePerSecond' | 'estimatedRemainingMs'>): string {
  if (convergencePerSecond === null) return '';
  const rate = grouped(Math.round(Math.abs(convergencePerSecond)));
  if (convergencePerSecond <= 0) return `, not converging: what is left grows by ${rate} a second`;
  const left =
    estimatedRemainingMs === null ? '' : `, about ${duration(estimatedRemainingMs)} to go`;
  return `, converging by ${rate} rows a second${left}`;
}

function sideRow(
  side: Side,
  { engine, role, guard, queue, error }: Status['sides'][Side],
  { definition }: Session['migration'],
): readonly string[] {
  const { display } = definition[side];
  const name = [side, role, display.startsWith(engine) ? display : `${engine} ${display}`];
  if (error !== null) return [...name, `does not answer: ${error}`];
  const rules = guard ? `guard ${guard.role}/${guard.epoch}` : 'no guard';
  const waits = queue
    ? `queue ${queue.waiting} waiting${queue.waiting > 0 ? ` (oldest ${duration(queue.oldestMs)})` : ''}, ${queue.dead} dead`
    : 'no queue';
  return [...name, `${rules}, ${waits}`];
}

/** How far the follower has come in the authority's log, and whether the store keeps what it has not read. */
export function logLine({
  position,
  end,
  level,
  retention,
  error,
}: NonNullable<Status['log']>): string {
  if (error !== null) return `log: ${error}`;
  const at = shown(position);
  if (retention?.state === 'lost')
    return `log: LOST: applied to ${at}; what came behind it can never be read again`;
  const where = level
    ? `applied to its end (${shown(end)})`
    : `behind: applied to ${at}, ends at ${shown(end)}`;
  if (retention === null) return `log: ${where}`;
  const { state, retainedBytes, leftBytes } = retention;
  const limit = leftBytes === null ? '' : `, and at most ${size(leftBytes)} more`;
  const risk = state === 'at-risk' ? '; AT RISK: soon it throws away what is not applied' : '';
  return `log: ${where}; the store keeps ${size(retainedBytes)} of it${limit}${risk}`;
}

/** A place in a log for people: without what tells apart logs of one name. */
const shown = (place: string | null): string =>
  (place ?? 'its beginning').replace(/(:\d+)[@ ].*$/, '$1');

function advanceLine({ foreign, next, state }: Status, paint: Paint): string {
  if (foreign !== null) return 'no: first the control store of this migration has to be found';
  if (next !== null) {
    const answer = paint(tones[next.verdict], answers[next.verdict]);
    return `to ${next.to}: ${answer} (gates: ${next.profile})`;
  }
  if (state.cutover) return 'no: a change of authority is under way';
  return state.phase === 'off'
    ? `to dual-write: ${paint('good', 'yes')}, with changeover start`
    : 'no: this is the last phase';
}

function whyNot({ next, observedAtMs }: Status, paint: Paint): readonly string[] {
  const closed = next?.gates.filter(({ verdict }) => verdict !== 'pass') ?? [];
  const all = earliestText(next?.earliest ?? null, observedAtMs);
  const lines = gateLines(closed, observedAtMs, paint).map((line) => line.slice(2));
  return all === '' ? lines : [...lines, `all gates: ${all}`];
}
