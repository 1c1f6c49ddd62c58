import { type MigrationContext, rogueWriteNote } from '../control/index.ts';
import { authorityOf, otherSide, routingTable } from '../migration/index.ts';
import type { RogueLook } from '../store/index.ts';
import type { WorkerOptions } from './worker-options.ts';
import type { WorkerTask } from './worker-tasks.ts';

/** Notes that are looked at to say who it is. */
const LOOKED_AT = 50;
/** Between two lines in the audit while somebody goes on writing. */
const NOTE_MS = 60_000;
/** Measurements in between. */
const TURNS = 5;

/**
 * Looks who writes to the follower without being the door: an event and a metric at once, and a line in the audit, which names tables and users. From the end of
 * the copy on, where noting costs something; the authority is not watched.
 */
export function rogueTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  const { control, events, instance, migration, runtime, stores } = context;
  let told = '';
  let known = 0;
  let notedMs = Number.NEGATIVE_INFINITY;
  let ended = '';
  let begun = '';
  return {
    name: 'rogues',
    idleMs: options.measureMs * TURNS,
    holdable: false,
    async turn(current) {
      const { phase, cutover } = current();
      if (routingTable[phase].follow !== 'apply' || cutover !== null) return 'idle';
      const authority = authorityOf(phase);
      const side = otherSide[authority];
      if (ended !== authority) await stores[authority].rogues?.end?.();
      ended = authority;
      const { rogues } = stores[side];
      if (!rogues) return 'idle';
      let seen = await rogues.look(LOOKED_AT);
      const copied = phase !== 'dual-write' && phase !== 'backfill';
      if (seen.blind !== null && rogues.begin && copied && begun !== `${side} ${phase}`) {
        // Once: a server that refuses it goes on refusing.
        begun = `${side} ${phase}`;
        await rogues.begin();
        seen = await rogues.look(LOOKED_AT);
      }
      const mark = `${side} ${markOf(seen)}`;
      const { total } = seen;
      if (mark === told || (told === '' && total === 0)) return 'idle';
      const [tables, users] = whoIn(seen);
      const added = Math.max(0, total - known);
      events.emit({ type: 'rogue-writes', side, notes: total, added, tables, users });
      known = total;
      const now = runtime.clock.monotonic();
      if (total > 0 && now - notedMs >= NOTE_MS) {
        const newestMs = seen.writes[0]?.atMs ?? 0;
        const detail = { side, total, newestMs, tables, users };
        const reason = `somebody writes to the ${side}, which is the follower`;
        await control.note(migration.name, {
          actor: instance,
          action: rogueWriteNote,
          reason,
          detail,
        });
        notedMs = now;
        told = mark;
      } else if (total === 0) told = mark;
      return 'idle';
    },
  };
}

const markOf = ({ total, writes }: RogueLook): string => `${total} ${writes[0]?.atMs ?? 0}`;

function whoIn({ writes }: RogueLook): readonly [readonly string[], readonly string[]] {
  const users = writes.map(({ user, application }) =>
    application === '' ? user : `${user} / ${application}`,
  );
  return [[...new Set(writes.map(({ table }) => table))], [...new Set(users)]];
}
