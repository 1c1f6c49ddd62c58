import type { Status } from '../controller/index.ts';
import type { Paint } from './terminal-io.ts';
import { count, duration, grouped } from './words.ts';

/** The answer first, loud when it is no: whoever reads this may have no time. */
export function undoLines({ rollback, lastDrill }: Status, paint: Paint): readonly string[] {
  const { ready, readsMs, writesMs, to, message, obstacles } = rollback;
  if (to === null) return [message];
  const time = (ms: number | null): string => {
    if (ms === null) return 'not now';
    return ms === 0 ? 'at once' : `within ${duration(ms)}`;
  };
  const about = writesMs === 0 ? readsMs : writesMs;
  const drill = drillLine(lastDrill);
  if (ready)
    return [
      paint('good', `Rollback: READY ~${duration(about ?? 0)}`),
      `to ${to}: reads ${time(readsMs)}, writes ${time(writesMs)}. ${message}`,
      drill,
    ];
  return [
    paint('bad', 'Rollback: NOT READY'),
    ...obstacles.map(({ reason, fix }) =>
      fix === 'As it says.' ? `  ${reason}` : `  ${reason} → ${fix}`,
    ),
    drill,
  ];
}

function drillLine(last: Status['lastDrill']): string {
  if (last === null) return 'drill: none yet (changeover rollback --drill)';
  const { ok, ageMs, phase, estimateMs, failed } = last;
  const numbers = estimateMs === null ? '' : `, ~${duration(estimateMs)}`;
  return ok
    ? `drill: passed ${duration(ageMs)} ago, in ${phase}${numbers}`
    : `drill: FAILED ${duration(ageMs)} ago, in ${phase}: ${failed.join(', ')}`;
}

/** The direction that is followed: how far behind, how fast, by whom, and what failed. */
export function followingLine(following: NonNullable<Status['following']>): string {
  const { side, follower, queue, workers, changesPerSecond, keysPerSecond, logLagMs } = following;
  const { lastError, problem } = following;
  const parts: string[] = [];
  if (queue === null) parts.push(`the queue does not answer: ${problem ?? ''}`);
  else if (queue.waiting === 0) parts.push('nothing waits');
  else parts.push(`${grouped(queue.waiting)} wait, the oldest for ${duration(queue.oldestMs)}`);
  if (queue !== null && queue.dead > 0) parts.push(count(queue.dead, 'dead letter'));
  if (changesPerSecond !== null) parts.push(`${grouped(changesPerSecond)} changes a second`);
  if (keysPerSecond !== null) parts.push(`log: ${grouped(keysPerSecond)} keys a second`);
  if (logLagMs !== null) parts.push(`${duration(logLagMs)} behind`);
  const live = workers.filter(({ alive }) => alive);
  const heard = Math.min(...workers.map(({ heardAgoMs }) => heardAgoMs));
  if (live.length > 0)
    parts.push(`${count(live.length, 'worker')}, heard of ${duration(heard)} ago`);
  else
    parts.push(
      workers.length > 0 ? `NO WORKER heard of for ${duration(heard)}` : 'NO WORKER is running',
    );
  if (lastError !== null)
    parts.push(`last error ${duration(lastError.agoMs)} ago: ${lastError.message}`);
  return `${side} → ${follower}: ${parts.join('; ')}`;
}

/** Nothing where nobody but the door writes to the follower. */
export function rogueLines({
  side,
  blind,
  total,
  writes,
}: NonNullable<Status['rogues']>): readonly string[] {
  if (total > 0) {
    const [newest] = writes;
    const who = newest
      ? `; ${duration(newest.agoMs)} ago: ${newest.operation} on ${newest.table} by ${[newest.user, newest.application].filter((word) => word !== '').join(' / ')} (process ${newest.process})`
      : '';
    return [`FOREIGN WRITES to the ${side}: ${grouped(total)} noted${who}. See changeover rogues`];
  }
  return blind === null ? [] : [`foreign writes to the ${side} are not noted: ${blind}`];
}
