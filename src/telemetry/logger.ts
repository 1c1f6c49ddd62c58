import { type DestinationStream, type LevelWithSilent, type Logger, pino } from 'pino';
import type { MigrationContext } from '../control/index.ts';
import type { ChangeoverEvent, MigrationState } from '../migration/index.ts';

export interface LoggerOptions {
  /** Default `info`. `debug` adds queue and verify progress, `trace` every write and read. */
  readonly level?: LevelWithSilent;
  /** Default: standard output, one JSON object a line. */
  readonly destination?: DestinationStream;
  /** The application's own logger: lines then go to a child of it, and the other two options do not count. */
  readonly parent?: Logger;
}

export interface EventLogger {
  /** For lines of the caller's own; carries the same correlation fields. */
  readonly logger: Logger;
  /** Stops logging. Idempotent. */
  close(): void;
}

/** A level, a text, and the fields that say which. */
type Line = readonly [
  level: 'error' | 'warn' | 'info' | 'debug' | 'trace',
  text: string,
  fields: object,
];

/**
 * Structured logs of what the engines say. Each line carries `migration`, `instance` and the `stateVersion` by which this process works, so
 * that lines of a fleet can be put beside the audit. Events hold no record values and no keys, so lines hold none.
 */
export function createLogger(
  context: Pick<MigrationContext, 'migration' | 'events' | 'instance'>,
  options: LoggerOptions = {},
): EventLogger {
  const fields = { migration: context.migration.name, instance: context.instance };
  const settings = { level: options.level ?? 'info', base: null };
  const logger = options.parent
    ? options.parent.child(fields)
    : (options.destination ? pino(settings, options.destination) : pino(settings)).child(fields);
  let stateVersion: number | undefined;
  const close = context.events.subscribe((event) => {
    if (event.type === 'state') stateVersion = event.state.version;
    // Per-operation events come by the thousand: nothing is built for them unless somebody asked.
    if (isPerOperation(event) && !logger.isLevelEnabled('trace')) return;
    const [level, text, own] = lineOf(event);
    logger[level]({ stateVersion, event: event.type, ...own }, text);
  });
  return { logger, close };
}

function isPerOperation(event: ChangeoverEvent): boolean {
  const { type } = event;
  return type === 'write' || type === 'read' || type === 'follower-write' || type === 'shadow-read';
}

function lineOf(event: ChangeoverEvent): Line {
  const { type, ...rest } = event;
  switch (event.type) {
    case 'state':
      return ['info', 'state changed', stateFields(event.state)];
    case 'control':
      return event.reachable
        ? ['info', 'control store reachable', {}]
        : ['warn', 'control store unreachable: the last known state goes on', rest];
    case 'dead-letter':
      return ['error', 'change became a dead letter', rest];
    case 'apply-failed':
      return ['warn', `changes of the ${event.side} were not applied`, rest];
    case 'repair':
      return event.stopped
        ? ['error', 'repair stopped by itself: so much differs that it is a bug', rest]
        : ['info', 'a person has let repair go on', rest];
    case 'rogue-writes':
      return event.notes > 0
        ? ['error', `somebody writes to the ${event.side}, which is the follower`, rest]
        : ['info', `no foreign write to the ${event.side} is left to be acknowledged`, rest];
    case 'way-back':
      return event.ready
        ? ['debug', 'the way back is ready', rest]
        : ['warn', 'the way back is not ready', rest];
    case 'breaker':
      return [
        event.state === 'open' ? 'warn' : 'info',
        `circuit breaker of the ${event.side} ${event.state}`,
        rest,
      ];
    case 'throttle':
      return ['info', event.reason === null ? 'throttle released' : 'throttled', rest];
    case 'backfill':
      return [event.finished ? 'info' : 'debug', 'backfill', rest];
    case 'verify':
      return [event.finished ? 'info' : 'debug', 'verification', rest];
    case 'mismatch':
      return [event.status === 'open' ? 'warn' : 'info', `mismatch ${event.status}`, rest];
    case 'cutover':
      return [
        event.outcome === 'failed' ? 'error' : 'info',
        `change of authority: ${event.step} ${event.outcome}`,
        rest,
      ];
    case 'held':
      return [event.outcome === 'expired' ? 'warn' : 'debug', `held write ${event.outcome}`, rest];
    case 'queue':
    case 'drained':
      return ['debug', type, rest];
    default:
      return ['trace', type, rest];
  }
}

function stateFields(state: MigrationState): object {
  const { phase, generation, epoch, dialBasisPoints, workHeld, cutover } = state;
  return {
    phase,
    generation,
    epoch,
    dialPercent: dialBasisPoints / 100,
    workHeld,
    ...(cutover && { attempt: cutover.attempt, cutover: cutover.status }),
  };
}
