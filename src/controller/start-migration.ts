import { prepareStream, removeAllStreams, streamEnds } from '../capture/index.ts';
import {
  applyEvent,
  type MigrationContext,
  refuseForeignGuard,
  startBegun,
  waitForAcknowledgements,
} from '../control/index.ts';
import { describeGuard, sameRole } from '../cutover/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import {
  isRefusal,
  type MigrationState,
  routingTable,
  type Side,
  transition,
} from '../migration/index.ts';
import type { GuardRole } from '../store/index.ts';
import type { StartOptions } from './controller-types.ts';
import { changeRole } from './guard-role.ts';

const FLEET_MS = 3_000;
const GUARD_MS = 10_000;
/** A slot waits for the transactions that run when it is made. */
const LOG_MS = 30_000;
const LEFTOVERS_MAX = 1_000_000;
const MISMATCHES_PAGE = 500;

/**
 * Installs both stores and leaves `off`. The order matters: everything slow comes first, under an idle guard, while the application
 * writes as before; then the source's guard stops unjournalled writes, and only then the state tells everybody to journal. A process that
 * still believes in `off` is refused by the store from there on, and looks at the state again.
 */
export async function startMigration(
  context: MigrationContext,
  options: StartOptions,
): Promise<MigrationState> {
  const { control, migration } = context;
  const shadow = options.shadow === true;
  const state = await control.load(migration.name);
  const probe = transition(state, { type: 'start', shadow });
  if (isRefusal(probe))
    throw new ChangeoverError('TRANSITION_REFUSED', `start is refused: ${probe.refused}.`);
  // Before anything is asked of the operator: consent to truncate would empty the follower of a migration that runs.
  await refuseForeignGuard(context, { deadlineMs: GUARD_MS });
  await earlierGenerationIsOver(context, state);
  const leftovers = await findLeftovers(context);
  if (leftovers.length > 0 && !options.truncateTarget && !options.reconcile) {
    throw new ChangeoverError(
      'LEFTOVERS_FOUND',
      `The target holds rows: ${leftovers.map(({ text }) => text).join(', ')}.`,
      { data: { collections: leftovers.map(({ collection }) => collection) } },
    );
  }
  await noteBegin(context, state, options);
  await installTarget(
    context,
    state,
    options,
    leftovers.map(({ collection }) => collection),
  );
  await installSource(context, state);
  await forgetEarlierEvidence(context, state.generation);
  return leaveOff(context, state, options);
}

/**
 * Nobody works for an earlier generation any more: a worker that was paused with an old record in its hand would write it into the
 * emptied target, and the backfill would not touch it. Leases prove nothing here.
 */
async function earlierGenerationIsOver(
  context: MigrationContext,
  state: MigrationState,
): Promise<void> {
  if (state.generation === 1) return;
  await waitForAcknowledgements(context, state.version, {
    timeoutMs: FLEET_MS,
    expired: 'wait',
    kinds: ['router', 'worker'],
  });
}

async function findLeftovers(
  context: MigrationContext,
): Promise<readonly { readonly collection: string; readonly text: string }[]> {
  const found: { collection: string; text: string }[] = [];
  for (const collection of context.migration.collections.keys()) {
    const rows = await context.stores.target.setup.countUpTo(collection, LEFTOVERS_MAX);
    const text = `${collection} ${rows >= LEFTOVERS_MAX ? 'at least ' : ''}${rows}`;
    if (rows > 0) found.push({ collection, text });
  }
  return found;
}

/** From here on guards in the stores may be ours, also when this process dies: see `findForeignGuard`. */
async function noteBegin(
  { control, migration }: MigrationContext,
  { generation }: MigrationState,
  { actor, reason }: StartOptions,
): Promise<void> {
  await control.note(migration.name, {
    actor,
    reason,
    action: startBegun,
    detail: { generation },
  });
}

async function installTarget(
  context: MigrationContext,
  state: MigrationState,
  options: StartOptions,
  leftovers: readonly string[],
): Promise<void> {
  const { setup } = context.stores.target;
  await setup.install('follower', state.epoch);
  await expectRole(context, 'target', ['follower'], state.epoch);
  for (const collection of context.migration.collections.keys()) {
    // Without rows there is nothing to consent to, but fences of an earlier generation would keep the backfill out.
    const empty = state.generation > 1 && !leftovers.includes(collection);
    if (!options.truncateTarget && !empty) continue;
    // What another start has begun to fill since is not ours to empty.
    await assertUnmoved(context, state);
    await setup.truncate(collection);
  }
}

/** Our objects and the outbox triggers, under an idle guard. */
async function installSource(context: MigrationContext, state: MigrationState): Promise<void> {
  const { setup } = context.stores.source;
  await setup.install('idle', state.epoch);
  await expectRole(context, 'source', ['authority', 'idle'], state.epoch);
  await takeBackLeftover(context, state);
  for (const collection of context.migration.collections.values()) {
    if (collection.capture === 'outbox') await setup.installCapture(collection.name);
  }
}

/**
 * A start that died may have left the guard of an authority, and unjournalled writes refused. It may as well be that of a start which has gone through
 * since we looked: then it is none of ours, and its guard stays.
 */
async function takeBackLeftover(context: MigrationContext, before: MigrationState): Promise<void> {
  if ((await context.stores.source.guard.read()).role === 'idle') return;
  await assertUnmoved(context, before);
  await changeRole(context, 'source', 'authority', 'idle', before.epoch, GUARD_MS);
  await assertUnmoved(context, before).catch(async (error: unknown) => {
    await changeRole(context, 'source', 'idle', 'authority', before.epoch, GUARD_MS);
    throw error;
  });
}

/** STATE_CHANGED: somebody else was quicker. */
async function assertUnmoved(
  { control, migration }: MigrationContext,
  before: MigrationState,
): Promise<void> {
  const { version } = await control.load(migration.name);
  if (version === before.version) return;
  throw new ChangeoverError(
    'STATE_CHANGED',
    `The state is at version ${version}, and was at ${before.version} when this began.`,
  );
}

async function expectRole(
  context: MigrationContext,
  side: Side,
  roles: readonly GuardRole[],
  epoch: number,
): Promise<void> {
  const row = await context.stores[side].guard.read();
  if (roles.some((role) => sameRole(row, { role, epoch, attempt: null }))) return;
  throw new ChangeoverError(
    'LEFTOVERS_FOUND',
    `The ${side} carries the guard of another attempt (${describeGuard(row)}; expected ${roles.join(' or ')}/${epoch}): abort removes it.`,
    { data: { side, role: row.role, epoch: row.epoch } },
  );
}

/** Counts and mismatches of an earlier generation prove nothing about this one. */
async function forgetEarlierEvidence(context: MigrationContext, generation: number): Promise<void> {
  const { control, migration } = context;
  await control.evidence.clear(migration.name);
  // Whole records of gaps that were decided in an earlier attempt.
  if (generation > 1) await control.gaps.clear(migration.name);
  for (const status of ['suspect', 'open'] as const) {
    for (;;) {
      const page = await control.mismatches.list(migration.name, {
        status,
        limit: MISMATCHES_PAGE,
      });
      if (page.length === 0) break;
      await control.mismatches.drop(migration.name, page);
    }
  }
}

async function leaveOff(
  context: MigrationContext,
  state: MigrationState,
  options: StartOptions,
): Promise<MigrationState> {
  const shadow = options.shadow === true;
  const detail = {
    truncated: options.truncateTarget === true,
    reconcile: options.reconcile === true,
  };
  const { actor, reason } = options;
  const enter = (): Promise<MigrationState> =>
    applyEvent(context, { type: 'start', shadow }, { actor, reason, detail }, state.version);
  // A rehearsal journals nothing, so unjournalled writes go on.
  return shadow ? enter() : journalledFrom(context, state, enter);
}

/** A stream of an earlier generation may have this name: what it left is not resumed. */
async function beginLog(context: MigrationContext, before: MigrationState): Promise<void> {
  const ends = streamEnds(context, 'source', before.epoch);
  if (ends === null) return;
  // Or what follows would take away the stream of another start.
  await assertUnmoved(context, before);
  await removeAllStreams(context);
  // Of a stream whose slot was dropped by hand this is all that is left.
  await ends.door.forget(ends.stream);
  await prepareStream(ends, LOG_MS);
}

/**
 * Keeps the source's log from here on, stops unjournalled writes, then publishes a phase in which everybody journals. When the publication fails the guard goes back,
 * unless it succeeded after all.
 */
export async function journalledFrom(
  context: MigrationContext,
  before: MigrationState,
  publish: () => Promise<MigrationState>,
): Promise<MigrationState> {
  const { epoch } = before;
  let changed = false;
  try {
    await beginLog(context, before);
    await changeRole(context, 'source', 'idle', 'authority', epoch, GUARD_MS);
    changed = true;
    return await publish();
  } catch (error) {
    const now = await context.control.load(context.migration.name).catch(() => null);
    if (now !== null && now.phase === before.phase && now.epoch === epoch) {
      if (changed)
        await changeRole(context, 'source', 'authority', 'idle', epoch, GUARD_MS).catch(() => {});
      // Nobody would ever read it, and the source would keep its log for it.
      await removeAllStreams(context).catch(() => {});
    } else if (now !== null && routingTable[now.phase].follow === 'apply' && now.epoch === epoch) {
      // Another start went through while our look took its guard for a leftover.
      await changeRole(context, 'source', 'idle', 'authority', epoch, GUARD_MS).catch(() => {});
    }
    throw error;
  }
}
