import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { MismatchStatus } from '../control/index.ts';
import type { Side } from '../migration/index.ts';
import { systemClock } from '../runtime/index.ts';
import { check } from './commands/check.ts';
import { type DemoFlags, demo } from './commands/demo.ts';
import { diff } from './commands/diff.ts';
import { dlqList, dlqResolve, dlqShow } from './commands/dlq.ts';
import { history } from './commands/history.ts';
import { init } from './commands/init.ts';
import { mismatchList, mismatchRecheck, mismatchRepair } from './commands/mismatch.ts';
import {
  advance,
  attestGone,
  dial,
  end,
  holdWork,
  plan,
  rollback,
  switchWrites,
} from './commands/phase-steps.ts';
import { run } from './commands/run.ts';
import { start } from './commands/start.ts';
import { status } from './commands/status.ts';
import { verify } from './commands/verify.ts';
import { failureOf } from './failure.ts';
import { type CommandResult, toJson } from './result.ts';
import type { CommandContext, GlobalOptions } from './session.ts';
import { painter, type TerminalIo } from './terminal-io.ts';
import { exitCodes } from './verdict.ts';

type Flags = GlobalOptions & Readonly<Record<string, unknown>>;
/** Runs a command and prints its result. */
type Perform = (
  flags: Flags,
  body: (context: CommandContext) => Promise<CommandResult>,
) => Promise<void>;

/** Runs one command line; resolves with the exit code. Never throws. */
export async function runCli(argv: readonly string[], io: TerminalIo): Promise<number> {
  let exitCode = exitCodes.done;
  const print = (result: CommandResult, json: boolean): void => {
    exitCode = exitCodes[result.verdict];
    const failed = result.kind === 'error';
    if (json) io.stdout.write(`${toJson(result, new Date(systemClock.now()).toISOString())}\n`);
    else if (failed)
      io.stderr.write(
        `${result.text.map((line) => painter({ ...io, stdout: io.stderr })('bad', line)).join('\n')}\n`,
      );
    else io.stdout.write(`${result.text.join('\n')}\n`);
    if (!json && failed && result.next.length > 0)
      io.stderr.write(`Try: ${result.next.join('; ')}\n`);
  };
  const perform: Perform = async (globals, body) => {
    const progress = (text: string): void => {
      io.stderr.write(`${text}\n`);
    };
    let result: CommandResult;
    try {
      result = await body({ io, globals, progress });
    } catch (error) {
      result = failureOf(error);
    }
    if ((result as { silent?: boolean }).silent)
      exitCode = (result as { exitCode?: number }).exitCode ?? 0;
    else print(result, globals.json === true);
  };
  const program = createProgram(io, perform);
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      print(failureOf(error), argv.includes('--json'));
      return exitCode;
    }
    const asked = ['commander.help', 'commander.helpDisplayed', 'commander.version'];
    if (asked.includes(error.code) && error.exitCode === 0) return exitCodes.done;
    if (argv.includes('--json')) print(usageResult(error.message), true);
    return exitCodes.usage;
  }
  return exitCode;
}

const usageResult = (message: string): CommandResult => ({
  kind: 'error',
  verdict: 'usage',
  stateVersion: null,
  data: { code: 'USAGE', message },
  next: ['changeover help'],
  text: [message],
});

function createProgram(io: TerminalIo, perform: Perform): Command {
  const program = new Command('changeover')
    .description('Move live data from one store to another, with proof and with a way back.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    })
    .option('--config <file>', 'configuration file, or the folder that holds it')
    .option('--json', 'one JSON object on stdout')
    .option('--yes', 'answer questions with yes; never opens a gate')
    .option('--reason <text>', 'why; recorded in the audit')
    .option('--actor <name>', 'who; default user@host')
    .addHelpText(
      'after',
      '\nExit codes: 0 yes or done, 1 no, 2 usage or configuration, 3 unknown, 4 refused, 5 store unreachable, 6 partial, 70 bug.',
    )
    .showSuggestionAfterError()
    .helpCommand('help [command]', 'help for a command');
  addPreparation(program, perform);
  addPhases(program, perform);
  addProof(program, perform);
  addQueue(program, perform);
  addProcesses(program, perform);
  return program;
}

const flagsOf = <T>(command: Command): T & Flags => command.optsWithGlobals() as T & Flags;

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It has to be a whole number.');
  return Number(text);
}

function fraction(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('It has to be between 0 and 1.');
  return value;
}

const collected = (value: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  value,
];

function addPreparation(program: Command, perform: Perform): void {
  program
    .command('init')
    .description('write a configuration from two databases')
    .option('--source <url>', 'the store to leave (else SOURCE_URL)')
    .option('--target <url>', 'the store to go to (else TARGET_URL)')
    .option('--name <name>', 'name of the migration')
    .option(
      '--collection <name=source:target>',
      'a collection and its tables; repeatable',
      collected,
    )
    .option('--force', 'replace a configuration that is there')
    .action((_options, command: Command) => {
      const flags = flagsOf<Parameters<typeof init>[1]>(command);
      return perform(flags, (context) => init(context, flags));
    });
  program
    .command('check')
    .description('preflight of both stores, in both directions; changes nothing')
    .action((_options, command: Command) => perform(flagsOf(command), check));
  program
    .command('start')
    .description('install both stores and begin to follow')
    .option('--shadow', 'begin with shadow writes')
    .option('--truncate-target', 'delete the rows that the target holds')
    .option('--reconcile', 'keep the rows that the target holds; verify and repair make them right')
    .action((_options, command: Command) => {
      const flags = flagsOf<Parameters<typeof start>[1]>(command);
      return perform(flags, (context) => start(context, flags));
    });
  program
    .command('status')
    .description('where are we, may we advance, why not, how fast can we undo')
    .action((_options, command: Command) => perform(flagsOf(command), status));
}

function addPhases(program: Command, perform: Perform): void {
  const gated = (command: Command): Command =>
    command
      .option('--expect <version>', 'only from this state version', whole)
      .option('--override <gate>', 'pass this gate, with --reason; repeatable', collected);
  program
    .command('plan')
    .description('may we enter the next phase? evaluates the gates, changes nothing')
    .option('--to <phase>', 'another phase than the next')
    .action((_options, command: Command) => {
      const flags = flagsOf<{ readonly to?: string }>(command);
      return perform(flags, (context) => plan(context, flags));
    });
  gated(program.command('advance').description('one phase forward, through the gates'))
    .option('--to <phase>', 'the phase that is meant')
    .action((_options, command: Command) => {
      const flags = flagsOf<Parameters<typeof advance>[1]>(command);
      return perform(flags, (context) => advance(context, flags));
    });
  gated(program.command('switch-writes').description('make the target the authority'))
    .option('--recover', 'undo or settle what a dead coordinator left')
    .option('--force', 'with --recover: even while its lease holds')
    .action((_options, command: Command) => {
      const flags = flagsOf<Parameters<typeof switchWrites>[1]>(command);
      return perform(flags, (context) => switchWrites(context, flags));
    });
  program
    .command('dial <percent>')
    .description('share of the reads that the target serves')
    .option(
      '--segment <name>',
      'a segment that the target serves whatever the dial; repeatable',
      collected,
    )
    .option('--no-segments', 'no segments')
    .action((percent: string, _options, command: Command) => {
      const flags = flagsOf<{ readonly segment?: readonly string[]; readonly segments: boolean }>(
        command,
      );
      const segment = flags.segments ? flags.segment : [];
      return perform(flags, (context) => dial(context, percent, segment ? { segment } : {}));
    });
  program
    .command('hold')
    .description('hold background work; live writes go on')
    .action((_options, command: Command) =>
      perform(flagsOf(command), (context) => holdWork(context, true)),
    );
  program
    .command('resume')
    .description('let background work go on')
    .action((_options, command: Command) =>
      perform(flagsOf(command), (context) => holdWork(context, false)),
    );
  program
    .command('rollback')
    .description('back: never asks, never gated')
    .option('--to <phase>', 'an earlier phase')
    .action((_options, command: Command) => {
      const flags = flagsOf<{ readonly to?: string }>(command);
      return perform(flags, (context) => rollback(context, flags));
    });
  for (const [how, text] of [
    ['abort', 'give up: back to off, everything of ours removed'],
    ['decommission', 'after the end: remove everything of ours'],
  ] as const) {
    program
      .command(how)
      .description(text)
      .action((_options, command: Command) =>
        perform(flagsOf(command), (context) => end(context, how)),
      );
  }
  program
    .command('attest-gone <instance>')
    .description('your word that this instance does not run any more')
    .action((instance: string, _options, command: Command) =>
      perform(flagsOf(command), (context) => attestGone(context, instance)),
    );
}

function addProof(program: Command, perform: Perform): void {
  program
    .command('verify [collections...]')
    .description('compare whole collections, in both directions')
    .option('--sample <share>', 'only about this share, 0 … 1', fraction)
    .action((names: string[], _options, command: Command) => {
      const flags = flagsOf<Parameters<typeof verify>[2]>(command);
      return perform(flags, (context) => verify(context, names, flags));
    });
  program
    .command('diff <collection> <key...>')
    .description('one key, side by side')
    .option('--show-values', 'show the values themselves')
    .action((name: string, key: string[], _options, command: Command) => {
      const flags = flagsOf<Parameters<typeof diff>[3]>(command);
      return perform(flags, (context) => diff(context, name, key, flags));
    });
  const mismatch = program.command('mismatch').description('what differs');
  mismatch
    .command('list', { isDefault: true })
    .description('mismatches, oldest first')
    .addOption(
      new Option('--status <status>', 'only these').choices([
        'suspect',
        'open',
        'explained',
        'repaired',
      ]),
    )
    .option('--limit <rows>', 'at most', whole, 50)
    .option('--show-values', 'show the values themselves (with --json)')
    .action((_options, command: Command) => {
      const flags = flagsOf<{ readonly status?: MismatchStatus; readonly limit: number }>(command);
      return perform(flags, (context) => mismatchList(context, flags));
    });
  mismatch
    .command('recheck')
    .description('look again at what differed')
    .action((_options, command: Command) => perform(flagsOf(command), mismatchRecheck));
  mismatch
    .command('repair <collection> [key...]')
    .description('make the follower hold what the authority holds; without --apply only a proposal')
    .option('--apply', 'do it')
    .option('--delete-extras', 'also delete what only the follower has')
    .action((name: string, key: string[], _options, command: Command) => {
      const flags = flagsOf<Parameters<typeof mismatchRepair>[3]>(command);
      return perform(flags, (context) => mismatchRepair(context, name, key, flags));
    });
}

function addQueue(program: Command, perform: Perform): void {
  const dlq = program.command('dlq').description('changes that could not be applied');
  const sided = (command: Command): Command =>
    command
      .addOption(
        new Option('--side <side>', 'whose queue; default: the authority’s').choices([
          'source',
          'target',
        ]),
      )
      .option('--limit <rows>', 'at most', whole, 50);
  type Sided = { readonly side?: Side; readonly limit: number };
  sided(dlq.command('list', { isDefault: true }).description('dead letters')).action(
    (_options, command: Command) => {
      const flags = flagsOf<Sided>(command);
      return perform(flags, (context) => dlqList(context, flags));
    },
  );
  sided(dlq.command('show <id>').description('one dead letter')).action(
    (id: string, _options, command: Command) => {
      const flags = flagsOf<Sided>(command);
      return perform(flags, (context) => dlqShow(context, id, flags));
    },
  );
  for (const [name, action, text] of [
    ['retry', 'redrive', 'send again; the record is applied as it is then'],
    ['discard', 'discard', 'give up; needs --reason'],
  ] as const) {
    sided(dlq.command(`${name} [ids...]`).description(text))
      .option('--all', 'all of them')
      .option('--dry-run', 'only say how many')
      .action((ids: string[], _options, command: Command) => {
        const flags = flagsOf<Sided & { readonly all?: boolean; readonly dryRun?: boolean }>(
          command,
        );
        return perform(flags, (context) => dlqResolve(context, action, ids, flags));
      });
  }
  program
    .command('history')
    .description('the audit, newest first')
    .option('--limit <lines>', 'at most', whole, 50)
    .action((_options, command: Command) => {
      const flags = flagsOf<{ readonly limit: number }>(command);
      return perform(flags, (context) => history(context, flags));
    });
}

function addProcesses(program: Command, perform: Perform): void {
  program
    .command('run')
    .description('the worker, in the foreground')
    .action((_options, command: Command) => perform(flagsOf(command), run));
  program
    .command('demo')
    .description('a whole migration on servers of its own, with proof')
    .option('--once', 'end when the story is told (the default; --keep stays)')
    .option('--keep', 'leave the databases up until Ctrl-C')
    .option('--rows <rows>', 'customers of the shop', whole)
    .option('--seed <seed>', 'another shop', whole)
    .option('--pace <factor>', 'length of the waits for onlookers, 0 … 1', Number)
    .action((_options, command: Command) => {
      const flags = flagsOf<DemoFlags>(command);
      return perform(flags, () => demo(flags));
    });
}
