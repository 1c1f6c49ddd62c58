import type {
  MismatchCondition,
  MismatchDecision,
  MismatchFilter,
  MismatchPlace,
} from '../../control/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { encodeKey, type MismatchClass } from '../../record/index.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { count, moment } from '../words.ts';

export interface DecideFlags {
  readonly owner?: string;
  readonly ticket?: string;
  /** Epoch ms. */
  readonly until?: number;
  readonly class?: MismatchClass;
  readonly field?: string;
  readonly all?: boolean;
}

/** So many are decided on at a time; what is left is said. */
const PLACES_MAX = 10_000;
/** So many keys stand in the audit; the lines of the ledger have their history, each for itself. */
const TOLD_MAX = 50;

/** A decision but for what every one of them has. */
type Said = MismatchDecision extends infer D
  ? D extends MismatchDecision
    ? Omit<D, 'by' | 'atMs'>
    : never
  : never;

interface Request {
  readonly context: CommandContext;
  readonly name: string;
  readonly parts: readonly string[];
  readonly flags: DecideFlags;
  /** Of these, when no key is named. */
  readonly among: MismatchCondition;
  /** Past participle, for the audit and for people. */
  readonly verb: string;
  readonly say: (session: Session) => Said;
}

/** `mismatch assign`. */
export function mismatchAssign(
  context: CommandContext,
  name: string,
  parts: readonly string[],
  flags: DecideFlags,
): Promise<CommandResult> {
  return decide({
    ...{ context, name, parts, flags },
    among: 'unexplained',
    verb: 'assigned',
    say: ({ act }) => ({ to: 'investigating', owner: flags.owner ?? act.actor }),
  });
}

/** `mismatch explain`. */
export function mismatchExplain(
  context: CommandContext,
  name: string,
  parts: readonly string[],
  flags: DecideFlags,
): Promise<CommandResult> {
  return decide({
    ...{ context, name, parts, flags },
    among: 'unexplained',
    verb: 'explained',
    say({ act }) {
      if (act.reason.trim() === '')
        throw new ChangeoverError(
          'CONFIG_INVALID',
          'An explanation has to say why: --reason TEXT.',
        );
      return {
        to: 'explained',
        owner: flags.owner ?? null,
        ticket: flags.ticket ?? null,
        expiresMs: flags.until ?? null,
        note: act.reason,
      };
    },
  });
}

/** `mismatch reopen`. */
export function mismatchReopen(
  context: CommandContext,
  name: string,
  parts: readonly string[],
  flags: DecideFlags,
): Promise<CommandResult> {
  return decide({
    ...{ context, name, parts, flags },
    among: 'explained',
    verb: 'reopened',
    say: ({ act }) => ({ to: 'open', note: act.reason }),
  });
}

function decide(request: Request): Promise<CommandResult> {
  const { context, flags, verb, name } = request;
  return withSession(context, { tolerateStores: true }, async (session) => {
    const { migration, act } = session;
    const { control } = migration;
    const said = request.say(session);
    const places = await placesOf(session, request);
    const atMs = migration.runtime.clock.now();
    const decision = { ...said, by: act.actor, atMs } as MismatchDecision;
    const lines = await control.mismatches.decide(migration.migration.name, places, decision);
    if (lines.length === 0) throw unknownPlaces(request);
    const { owner = null, ticket = null, expiresMs = null } = lines[0] ?? {};
    const chosen = { class: flags.class ?? null, field: flags.field ?? null };
    const detail = {
      ...{ collection: name, mismatches: lines.length, ...chosen, owner, ticket, expiresMs },
      keys: lines.slice(0, TOLD_MAX).map(({ key }) => key),
    };
    await control.note(migration.migration.name, { ...act, action: `mismatch-${verb}`, detail });
    const open = await control.mismatches.count(migration.migration.name, 'unexplained');
    const until = said.to === 'explained' && expiresMs ? ` until ${moment(expiresMs)}` : '';
    const whom = said.to === 'investigating' ? ` to ${said.owner}` : '';
    return {
      kind: `mismatch-${verb}`,
      verdict: lines.length < places.length ? 'partial' : 'done',
      stateVersion: null,
      data: { ...detail, open },
      next: ['changeover mismatch list'],
      text: [
        `${count(lines.length, 'mismatch', 'mismatches')} of ${name} ${verb}${whom}${until}; ${open} unexplained in all.`,
        ...(places.length === PLACES_MAX ? ['There may be more: run it again.'] : []),
      ],
    };
  });
}

/** The keys that were named, or those that look as it was said. */
async function placesOf(
  { migration }: Session,
  { name, parts, flags, among }: Request,
): Promise<readonly MismatchPlace[]> {
  const chosen = flags.class !== undefined || flags.field !== undefined || flags.all === true;
  if (parts.length > 0 === chosen)
    throw new ChangeoverError(
      'CONFIG_INVALID',
      'Name one key, or choose by --class, --field or --all.',
    );
  if (parts.length > 0) {
    const [only] = parts;
    const key = parts.length === 1 && only?.startsWith('[') ? only : encodeKey(parts);
    return [{ collection: name, key }];
  }
  const filter: MismatchFilter = {
    status: among,
    collection: name,
    limit: PLACES_MAX,
    ...(flags.class === undefined ? {} : { class: flags.class }),
    ...(flags.field === undefined ? {} : { field: flags.field }),
  };
  return migration.control.mismatches.list(migration.migration.name, filter);
}

const unknownPlaces = ({ name, parts }: Request): ChangeoverError =>
  new ChangeoverError(
    'CONFIG_INVALID',
    parts.length > 0
      ? `The ledger has no mismatch of ${name} ${parts.join(' ')}.`
      : `No mismatch of ${name} looks so.`,
  );
