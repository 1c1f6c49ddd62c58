import { type AddCommand, flagsOf, whole } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { columns, count, duration } from '../words.ts';

export const addRogues: AddCommand = (program, perform) => {
  const rogues = program
    .command('rogues')
    .description('who writes to the follower without being the door');
  rogues
    .command('list', { isDefault: true })
    .description('notes of foreign writes, newest first')
    .option('--limit <rows>', 'at most so many', whole, 50)
    .action((_options, command) => {
      const flags = flagsOf<{ readonly limit: number }>(command);
      return perform(flags, (context) => list(context, flags.limit));
    });
  rogues
    .command('acknowledge')
    .description('they are known, and were put right or do no harm; needs --reason')
    .action((_options, command) => perform(flagsOf(command), acknowledge));
};

function list(context: CommandContext, limit: number): Promise<CommandResult> {
  return withSession(context, {}, async ({ controller, migration }) => {
    const { version } = await migration.control.load(migration.migration.name);
    const seen = await controller.rogueWrites(limit);
    const total = seen?.total ?? 0;
    const told =
      seen === null
        ? 'Nobody follows in this phase, or the store does not tell who writes to it.'
        : (seen.blind ?? `Nobody but the door writes to the ${seen.side}.`);
    const rows = (seen?.writes ?? []).map((write) => [
      `${duration(write.agoMs)} ago`,
      write.operation,
      write.table,
      write.user,
      write.application,
      write.process,
    ]);
    return {
      kind: 'rogues',
      verdict: total > 0 ? 'no' : seen === null || seen.blind !== null ? 'unknown' : 'yes',
      stateVersion: version,
      data: seen,
      next: total > 0 ? ['changeover verify', 'changeover rogues acknowledge --reason TEXT'] : [],
      text:
        total === 0
          ? [told]
          : [
              ...columns([['when', 'what', 'table', 'user', 'application', 'process'], ...rows]),
              `On the ${seen?.side}: ${count(total, 'foreign write')} noted: transactions in PostgreSQL, rows in MariaDB.`,
            ],
    };
  });
}

function acknowledge(context: CommandContext): Promise<CommandResult> {
  return withSession(context, {}, async ({ controller, act, migration }) => {
    const { version } = await migration.control.load(migration.migration.name);
    const gone = await controller.acknowledgeRogueWrites(act);
    return {
      kind: 'rogues-acknowledge',
      verdict: 'done',
      stateVersion: version,
      data: { acknowledged: gone },
      next: ['changeover plan'],
      text: [`${count(gone, 'note')} acknowledged. Whoever goes on writing is noted again.`],
    };
  });
}
