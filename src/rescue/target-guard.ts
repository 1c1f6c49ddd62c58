import type { MigrationContext } from '../control/index.ts';
import { describeGuard } from '../cutover/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import type { GuardState } from '../store/index.ts';
import { findGap, type OpenGap } from './open-gap.ts';

const LOCK_MS = 1_000;
const TRIES_MAX = 20;

const sealedIn = ({ state }: OpenGap): GuardState => ({
  role: 'sealed',
  epoch: state.epoch,
  attempt: null,
});

/**
 * A target that is not as the rescue left it, sealed to be compared: an epoch that no rescue leaves, so that nobody takes its queue and log for the whole gap, also
 * when the comparison was interrupted.
 */
const sealedToCompare = ({ gap }: OpenGap): GuardState => ({
  role: 'sealed',
  epoch: gap.epoch - 1,
  attempt: null,
});

/** `restored`: neither its records nor its queue are those that the rescue left. */
export type SealedTarget = 'as-left' | 'restored';

/**
 * Shuts the target for everybody until the gap is collected; the exclusive lock waits for whoever was still let in. The first thing that is done to a
 * target that answers again. Sound because the guard is read *before* the state: while this gap is uncollected no attempt is under way, and no
 * other role is right, so whatever the row says is a leftover of the epoch that ended; and the change is a compare-and-set from exactly that row.
 *
 * STORE_RESTORED when the row is one that the rescue cannot have left: a target that was restored from a backup, or of a later epoch. `anyway` seals the
 * former, for a gap that is found by comparison; `endComparison` ends that.
 */
export async function sealTarget(
  context: MigrationContext,
  anyway: boolean,
): Promise<SealedTarget> {
  const { guard } = context.stores.target;
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const row = await guard.read();
    const gap = await findGap(context);
    if (gap?.gap.stage !== 'uncollected') return 'as-left';
    const sealed = sealedIn(gap);
    if (isSame(row, sealed)) return 'as-left';
    if (await mayBeLeft(row, gap)) {
      if (await guard.change(row, sealed, LOCK_MS)) return 'as-left';
      continue;
    }
    if (!anyway || row.epoch > gap.state.epoch) throw strange(row, gap);
    const toCompare = sealedToCompare(gap);
    if (isSame(row, toCompare) || (await guard.change(row, toCompare, LOCK_MS))) return 'restored';
  }
  throw new ChangeoverError('STORE_CONFLICT', 'The guard of the target changes all the time.');
}

/** Could this rescue, or a rollback that was abandoned before it, have left the row? */
async function mayBeLeft(row: GuardState, gap: OpenGap): Promise<boolean> {
  if (row.epoch === gap.state.epoch && row.role === 'sealed') return true;
  // One that had sealed the target before it moved authority left nothing else: an authority of that epoch is a copy of before.
  if ((await rescueKind(gap)) === 'sealed') return false;
  // Everything of an abandoned rollback was drained.
  const abandoned =
    row.epoch === gap.state.epoch && row.role === 'follower' && row.attempt !== null;
  const wasAuthority =
    row.epoch === gap.gap.epoch && (row.role === 'authority' || row.role === 'sealed');
  return abandoned || wasAuthority;
}

const HISTORY_NEAR = 500;
const HISTORY_ALL = 1_000_000;

/** How the gap was opened, by the audit; null: it does not say. */
async function rescueKind({ context, gap }: OpenGap): Promise<unknown> {
  for (const limit of [HISTORY_NEAR, HISTORY_ALL]) {
    const lines = await context.control.history(context.migration.name, limit);
    const begun = lines.find(
      ({ action, detail }) => action === 'cutover-begin' && detail['attempt'] === gap.rescue,
    );
    if (begun !== undefined) return begun.detail['rescue'] ?? null;
    if (lines.length < limit) break;
  }
  return null;
}

/** A restored target has been compared, and every difference is in the ledger. */
export async function endComparison(gap: OpenGap): Promise<void> {
  await gap.context.stores.target.guard.change(sealedToCompare(gap), sealedIn(gap), LOCK_MS);
}

/** STORE_CONFLICT unless the target is still sealed: what was collected is all there is. */
export async function expectSealed(gap: OpenGap): Promise<void> {
  const row = await gap.context.stores.target.guard.read();
  if (isSame(row, sealedIn(gap))) return;
  throw new ChangeoverError(
    'STORE_CONFLICT',
    `The guard of the target is ${describeGuard(row)}, and was sealed when collecting began: it begins again.`,
  );
}

/** Once the gap is collected: the target follows. Idempotent; by the same order of looks as `sealTarget`. */
export async function openTarget(context: MigrationContext): Promise<void> {
  const { guard } = context.stores.target;
  const row = await guard.read();
  const gap = await findGap(context);
  if (gap?.gap.stage !== 'collected' || !isSame(row, sealedIn(gap))) return;
  await guard.change(row, { ...row, role: 'follower' }, LOCK_MS);
}

const isSame = (a: GuardState, b: GuardState): boolean =>
  a.role === b.role && a.epoch === b.epoch && a.attempt === b.attempt;

function strange(row: GuardState, { gap, state }: OpenGap): ChangeoverError {
  return new ChangeoverError(
    'STORE_RESTORED',
    `The guard of the target is ${describeGuard(row)}; and this rescue did not leave it so (gap of epoch ${gap.epoch}, now ${state.epoch}). The target was restored from a backup, or is another server: its queue and log do not tell the whole gap, and \`changeover rescue collect --sweep\` compares everything instead.`,
    { data: { role: row.role, epoch: row.epoch } },
  );
}
