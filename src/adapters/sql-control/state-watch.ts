import { ChangeoverError } from '../../errors/index.ts';
import type { MigrationState } from '../../migration/index.ts';
import type { SqlControlEngine } from './sql-control-engine.ts';
import { parseState } from './stored-state.ts';

/** Longest time between two looks where nothing else tells of a change; a notification only makes the next look come at once. */
const pollMs = 250;
/** While a change of authority is under way and nothing else tells of it: the next states come soon, and writes wait for them. */
const hurriedPollMs = 20;
/** The same while notifications come. Hundreds of instances look for nothing, and a change still arrives within a second without one. */
const notifiedPollMs = 750;
/** Share of the pause that is left to chance: a change wakes all instances at once, and they should not look together ever after. */
const jitter = 0.2;

/**
 * Looks at the state every 250 ms, every 750 ms where notifications come, and at once when the engine is told of a change. One look at a time; a look that is asked for
 * while another runs follows it, because the running one may have read before the change.
 */
export function watchState(
  engine: SqlControlEngine,
  load: (migration: string) => Promise<MigrationState>,
  migration: string,
  onState: (state: MigrationState) => void,
  onError: (error: unknown) => void,
): () => void {
  let ended = false;
  let looking = false;
  let again = false;
  let seen = 0;
  let complained = 0;
  let hurried = false;
  let cancelPoll = (): void => {};

  const look = async (): Promise<void> => {
    if (seen === 0) {
      const first = await load(migration);
      if (ended) return;
      seen = first.version;
      hurried = first.cutover !== null;
      onState(first);
      return;
    }
    const row = await engine.run('watching the state', (db) =>
      db
        .selectFrom('migration_state')
        .select(['version', 'state'])
        .where('migration', '=', migration)
        .where('version', '!=', seen)
        .executeTakeFirst(),
    );
    if (ended || row === undefined) return;
    if (row.version < seen) {
      // A restored or failed-over control store: following it would take acknowledgements and authority back.
      if (complained !== row.version) onError(wentBack(engine.display, seen, row.version));
      complained = row.version;
      return;
    }
    const state = parseState(engine.display, row.state);
    seen = row.version;
    hurried = state.cutover !== null;
    onState(state);
  };

  const wake = (): void => {
    if (ended) return;
    if (looking) {
      again = true;
      return;
    }
    cancelPoll();
    looking = true;
    again = false;
    look()
      .catch((error: unknown) => {
        if (!ended) onError(error);
      })
      .finally(() => {
        looking = false;
        if (ended) return;
        if (again) wake();
        else
          cancelPoll = engine.clock.schedule(
            hurried && !engine.isNotified() ? hurriedPollMs : pauseMs(engine),
            wake,
          );
      });
  };

  const unlisten = engine.listen((changed) => {
    if (changed === null || changed === migration) wake();
  });
  wake();
  return () => {
    if (ended) return;
    ended = true;
    cancelPoll();
    unlisten();
  };
}

const pauseMs = ({ isNotified, random }: SqlControlEngine): number =>
  (isNotified() ? notifiedPollMs : pollMs) * (1 - jitter * random.next());

const wentBack = (display: string, from: number, to: number): ChangeoverError =>
  new ChangeoverError(
    'CONTROL_UNAVAILABLE',
    `The control store ${display} went back from state version ${from} to ${to}: it was restored from a backup or failed over to a stale copy, and is not followed.`,
    { data: { seen: from, found: to } },
  );
