import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, messageOf } from '../errors/index.ts';
import { authorityOf, type MigrationState, type Side } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { Finding, GuardState } from '../store/index.ts';
import type { TrafficHook } from '../traffic/index.ts';
import { expectedGuard } from './guard-roles.ts';
import { hasTraffic, heldMark } from './held-mark.ts';

/** A hook that takes longer to answer counts as one that does not. */
const ANSWER_MS = 5_000;

const nameOf = ({ name }: TrafficHook): string => name ?? 'traffic';

/** What the hooks say about holding what goes to `authority`. Changes nothing, never throws; a hook without an answer is a finding. */
export async function inspectTraffic(
  context: MigrationContext,
  authority: Side,
): Promise<readonly Finding[]> {
  const { runtime, traffic = [] } = context;
  const found = traffic.map(async (hook): Promise<readonly Finding[]> => {
    try {
      const asked = Promise.resolve(hook.check?.(authority) ?? []);
      const said = await withDeadline(
        runtime.clock,
        ANSWER_MS,
        `the check of ${nameOf(hook)}`,
        asked,
      );
      // Who cannot be asked for anything else is not looked through either.
      return told(said) === null ? [...said, ...(await lookThere(context, hook))] : said;
    } catch (error) {
      const message = `${nameOf(hook)} cannot be asked: ${messageOf(error)}`;
      return [{ id: 'traffic/no-answer', verdict: 'unknown', message, fix: HOOK_OR_NONE }];
    }
  });
  return (await Promise.all(found)).flat();
}

/** Whether a hook leads to the stores of this migration, on either side. A store that has no sign, or does not answer, is not looked for by another way. */
async function lookThere(
  { runtime, stores }: MigrationContext,
  hook: TrafficHook,
): Promise<readonly Finding[]> {
  const { look } = hook;
  if (look === undefined) return [];
  const found = (['source', 'target'] as const).map(async (side): Promise<readonly Finding[]> => {
    const { survey } = stores[side];
    if (survey?.showSign === undefined) return [];
    const what = `a look at the ${side} through ${nameOf(hook)}`;
    const shown = survey.showSign(ANSWER_MS, (sign) => look.call(hook, side, sign));
    return withDeadline(runtime.clock, ANSWER_MS, what, shown);
  });
  return (await Promise.all(found)).flat();
}

const HOOK_OR_NONE =
  'Make it answer, or take it out of `traffic`: what comes through it is then refused by the guard from the switch on.';

/** Before anything is begun: why a hook could not hold, or null. `dry`: without trying. Never throws what a hook throws. */
export async function whyNotHoldable(
  context: MigrationContext,
  authority: Side,
  dry: boolean,
): Promise<string | null> {
  const why = told(await inspectTraffic(context, authority));
  if (why !== null || dry) return why;
  const { control, migration } = context;
  const preparing = each(context, ANSWER_MS, 'preparing', async (hook) => {
    try {
      await hook.prepare?.(authority);
    } finally {
      // It was slow, or slept: authority may have moved meanwhile, and this have led its traffic back.
      const now = await control.load(migration.name).catch(() => null);
      if (now !== null && authorityOf(now.phase) !== authority) await letTrafficGo(context, now);
    }
  });
  const failed = await preparing.then(() => null, messageOf);
  // Only now has the hook what it needs to look, where it was never used before.
  return failed ?? (await whyNotThere(context));
}

async function whyNotThere(context: MigrationContext): Promise<string | null> {
  try {
    const looks = (context.traffic ?? []).map((hook) => lookThere(context, hook));
    return told((await Promise.all(looks)).flat());
  } catch (error) {
    return messageOf(error);
  }
}

/** What keeps a hook from being used, or null. */
function told(findings: readonly Finding[]): string | null {
  const bad = findings.filter(({ verdict }) => verdict === 'fail' || verdict === 'unknown');
  if (bad.length === 0) return null;
  return bad.map(({ id, message, fix }) => `${message} → ${fix} (${id})`).join(' ');
}

/**
 * Holds everything. A hook that hangs counts as failed; should it hold after all when nobody expects it any more, it is let go again, as long as this
 * process lives.
 */
export async function holdTraffic(context: MigrationContext, ms: number): Promise<void> {
  const { clock } = context.runtime;
  let given = false;
  await each(context, ms + LATE_MS, 'holding', async (hook) => {
    const until = clock.monotonic() + ms + LATE_MS;
    try {
      await hook.hold(ms);
    } finally {
      if (given || clock.monotonic() > until) await letTrafficGo(context).catch(() => {});
    }
  }).catch((error: unknown) => {
    given = true;
    throw error;
  });
}

/** Beyond its own limit a hook gets so long to let go again. */
const LATE_MS = 250;

/**
 * Points everything to the authority and lets it go on; while an attempt is under way that is for whoever ends it. When authority moves meanwhile (this
 * process slept) it is done again, so that what was late does not stand.
 */
export async function letTrafficGo(
  context: MigrationContext,
  known?: MigrationState,
): Promise<void> {
  if (!hasTraffic(context)) return;
  const { control, migration } = context;
  let state = known ?? (await control.load(migration.name));
  while (state.cutover === null) {
    const { epoch, phase } = state;
    await each(context, ANSWER_MS, 'releasing', (hook) => hook.release(authorityOf(phase)));
    state = await control.load(migration.name);
    if (state.epoch === epoch) return;
  }
}

/**
 * Lets traffic go when the guard of this side carries the mark of an ended attempt. An authority is opened to foreign writers first, or they would come
 * to a shut door; its mark stays, in another form, and is the evidence until the caller clears it. `known`: what whoever has just committed
 * knows without a look.
 */
export async function finishHeld(
  context: MigrationContext,
  side: Side,
  lockTimeoutMs: number,
  known?: { readonly row: GuardState; readonly state: MigrationState },
): Promise<void> {
  const { control, migration, stores } = context;
  const { guard } = stores[side];
  // The guard before the state: see `clearStaleMark`.
  const row = known?.row ?? (await guard.read());
  if (row.attempt === null) return;
  const state = known?.state ?? (await control.load(migration.name));
  if (state.cutover !== null) return;
  const open = { ...expectedGuard(state, side), attempt: heldMark(row.attempt) };
  if (row.attempt !== open.attempt && !(await guard.change(row, open, lockTimeoutMs)))
    return finishHeld(context, side, lockTimeoutMs);
  await letTrafficGo(context, state);
}

/** Every hook at the same time, each to its end; throws what went wrong, by name. */
async function each(
  { runtime, traffic = [] }: MigrationContext,
  ms: number,
  doing: string,
  work: (hook: TrafficHook) => Promise<void>,
): Promise<void> {
  const problems: string[] = [];
  let cause: unknown;
  const one = async (hook: TrafficHook): Promise<void> => {
    try {
      const what = `${doing} ${nameOf(hook)}`;
      await withDeadline(runtime.clock, ms, what, (async () => work(hook))());
    } catch (error) {
      problems.push(`${doing} ${nameOf(hook)} failed: ${messageOf(error)}`);
      cause = error;
    }
  };
  await Promise.all(traffic.map(one));
  if (problems.length > 0)
    throw new ChangeoverError('CUTOVER_ABORTED', problems.join(' '), { cause });
}
