import { workerOptionsOf } from '../../config/index.ts';
import type { ChangeoverEvent } from '../../migration/index.ts';
import { giveWay, startWorker } from '../../worker/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, interruption, processLabel, withSession } from '../session.ts';
import { grouped } from '../words.ts';

export const addRun: AddCommand = (program, perform) => {
  program
    .command('run')
    .description('the worker, in the foreground')
    .action((_options, command) => perform(flagsOf(command), run));
};

const longMs = 60_000;

/** `run`: the worker in the foreground, until Ctrl-C or SIGTERM. */
function run(context: CommandContext): Promise<CommandResult> {
  giveWay();
  return withSession(context, {}, async ({ migration }) => {
    const { signal, stop } = interruption();
    const unsubscribe = migration.events.subscribe((event) => {
      const line = eventLine(event);
      if (line !== null) context.progress(line);
    });
    const worker = await startWorker(migration, {
      ...workerOptionsOf(migration.options, migration, processLabel()),
      onError: (task, message) => context.progress(`${task} failed and is tried again: ${message}`),
    });
    const { phase, version } = worker.state();
    context.progress(
      `worker of ${migration.migration.name} is running (${phase}, state version ${version})`,
    );
    try {
      // Keeps the process alive as well, which an abort listener would not.
      while (!signal.aborted) {
        await migration.runtime.clock.sleep(longMs, signal).catch(() => undefined);
      }
      context.progress('worker is ending');
    } finally {
      stop();
      await worker.close();
      unsubscribe();
    }
    const state = worker.state();
    return {
      kind: 'run',
      verdict: 'done',
      stateVersion: state.version,
      data: { state },
      next: [],
      text: ['The worker has ended.'],
    };
  });
}

/** What a person who watches a worker wants to see; null: nothing. */
function eventLine(event: ChangeoverEvent): string | null {
  switch (event.type) {
    case 'state':
      return `${event.state.phase}, state version ${event.state.version}`;
    case 'control':
      return event.reachable
        ? 'control store is back'
        : `control store is away: ${event.error ?? ''}`;
    case 'backfill':
      return `backfill of ${event.collection}: ${grouped(event.rowsRead)} of about ${grouped(event.estimatedRows)} rows${event.finished ? ', finished' : ''}`;
    case 'throttle':
      return event.reason === null ? 'goes on' : `waits: ${event.reason}`;
    case 'dead-letter':
      return `dead letter in ${event.collection}: ${event.reason}`;
    case 'mismatch':
      return event.status === 'open' ? `mismatch in ${event.collection}: ${event.kind}` : null;
    case 'breaker':
      return `${event.side}: circuit breaker ${event.state}`;
    case 'cutover':
      return `switch ${event.attempt}: ${event.step} ${event.outcome}`;
    default:
      return null;
  }
}
