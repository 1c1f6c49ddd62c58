import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import type { ChangeSource } from '../log/index.ts';
import {
  authorityOf,
  type Collection,
  type Migration,
  type MigrationState,
  otherSide,
  type Side,
} from '../migration/index.ts';
import type { LogDoor } from '../store/index.ts';

/**
 * The stream of one period of authority: a new epoch has a new one, so nothing of an earlier direction is ever taken for this one.
 * At most 63 characters of lower-case letters, digits and `_`: the name of a PostgreSQL slot.
 */
export function streamName(migration: string, side: Side, epoch: number): string {
  return `changeover_${migration}_${side === 'source' ? 's' : 't'}_${epoch}`;
}

/** The collections that are captured from the log, in the order of the configuration. */
export function loggedCollections(migration: Migration): readonly Collection[] {
  return [...migration.collections.values()].filter(({ capture }) => capture === 'log');
}

/** Both ends of a stream. */
export interface StreamEnds {
  readonly stream: string;
  readonly authority: Side;
  readonly follower: Side;
  readonly log: ChangeSource;
  readonly door: LogDoor;
}

/**
 * The ends of the stream by which the other store follows `authority` in this epoch; null: nothing is captured from the log.
 * LOG_UNSUPPORTED when a store cannot read its log, or cannot take one in.
 */
export function streamEnds(
  context: MigrationContext,
  authority: Side,
  epoch: number,
): StreamEnds | null {
  const { migration, stores } = context;
  const [first] = loggedCollections(migration);
  if (first === undefined) return null;
  const follower = otherSide[authority];
  const { log } = stores[authority];
  const door = stores[follower].door.log;
  if (!log || !door) {
    const side = log ? follower : authority;
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `Collection "${first.name}" is declared with capture "log", which the ${side} (${stores[side].engine}) cannot ${log ? 'take in' : 'give'}: declare "outbox" or "app".`,
      { data: { collection: first.name, side } },
    );
  }
  return { stream: streamName(migration.name, authority, epoch), authority, follower, log, door };
}

/** The ends of the present direction. */
export function presentStream(context: MigrationContext, state: MigrationState): StreamEnds | null {
  return streamEnds(context, authorityOf(state.phase), state.epoch);
}

/**
 * From here on the authority keeps its log for this stream, and the follower knows where it begins. Idempotent: called again, nothing moves.
 * The order matters: a follower that knew a beginning before the log was kept from there could be promised what is gone.
 */
export async function prepareStream(ends: StreamEnds, lockTimeoutMs: number): Promise<void> {
  const start = await ends.log.install(ends.stream, lockTimeoutMs);
  await ends.door.begin(ends.stream, start);
}

/** The epoch in the name of a stream. */
export function epochOf(stream: string): number {
  return Number(/_(\d+)$/.exec(stream)?.[1] ?? 0);
}

/**
 * Removes whatever stream is left, when nobody will follow any more. Only of the store whose log it is: the other one may be gone for good.
 * Idempotent.
 */
export async function endStreams({ stores }: MigrationContext, authority: Side): Promise<void> {
  const { log } = stores[authority];
  for (const stream of (await log?.installed()) ?? []) await log?.remove(stream);
}

/**
 * Removes the streams of one store whose epoch is below `before` (those of a switch that is being prepared are above), and what the other store knows of
 * them. Idempotent.
 */
export async function removeStreams(
  context: MigrationContext,
  authority: Side,
  before: number,
): Promise<void> {
  const { log } = context.stores[authority];
  const door = context.stores[otherSide[authority]].door.log;
  if (!log) return;
  for (const stream of await log.installed()) {
    if (epochOf(stream) >= before) continue;
    // In this order: whoever dies in between leaves what the next one finds. A checkpoint that outlived its stream would be taken for that of the next.
    await door?.forget(stream);
    await log.remove(stream);
  }
}

/** Removes every stream of the migration, of both stores: only where nobody follows. Idempotent. */
export async function removeAllStreams(context: MigrationContext): Promise<void> {
  for (const side of ['source', 'target'] as const)
    await removeStreams(context, side, Number.POSITIVE_INFINITY);
}
