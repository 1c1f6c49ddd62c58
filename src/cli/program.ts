import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { systemClock } from '../runtime/index.ts';
import type { AddCommand, Perform } from './command-line.ts';
import { addAbort, addDecommission } from './commands/abort.ts';
import { addAdvance } from './commands/advance.ts';
import { addApprove } from './commands/approve.ts';
import { addAttestGone } from './commands/attest-gone.ts';
import { addCheck } from './commands/check.ts';
import { addDemo } from './commands/demo.ts';
import { addDial } from './commands/dial.ts';
import { addDiff } from './commands/diff.ts';
import { addDlq } from './commands/dlq.ts';
import { addGate } from './commands/gate.ts';
import { addHistory } from './commands/history.ts';
import { addHold, addResume } from './commands/hold.ts';
import { addInit } from './commands/init.ts';
import { addMismatch } from './commands/mismatch.ts';
import { addPlan } from './commands/plan.ts';
import { addReport } from './commands/report.ts';
import { addRescue } from './commands/rescue.ts';
import { addRogues } from './commands/rogues.ts';
import { addRollback } from './commands/rollback.ts';
import { addRun } from './commands/run.ts';
import { addStart } from './commands/start.ts';
import { addStatus } from './commands/status.ts';
import { addSwitchWrites } from './commands/switch-writes.ts';
import { addVerify } from './commands/verify.ts';
import { addZombie } from './commands/zombie.ts';
import { failureOf } from './failure.ts';
import { type CommandResult, toJson } from './result.ts';
import { painter, type TerminalIo } from './terminal-io.ts';
import { exitCodeMeanings, exitCodes } from './verdict.ts';

/** Every verb, in the order of the help. */
const verbs: readonly AddCommand[] = [
  addInit,
  addCheck,
  addStart,
  addStatus,
  addPlan,
  addGate,
  addApprove,
  addAdvance,
  addSwitchWrites,
  addDial,
  addHold,
  addResume,
  addRollback,
  addRescue,
  addVerify,
  addDiff,
  addMismatch,
  addDlq,
  addRogues,
  addHistory,
  addReport,
  addZombie,
  addRun,
  addAttestGone,
  addAbort,
  addDecommission,
  addDemo,
];

/** Runs one command line; resolves with the exit code. Never throws. */
export async function runCli(argv: readonly string[], io: TerminalIo): Promise<number> {
  let exitCode = exitCodes.done;
  const print = (result: CommandResult, json: boolean): void => {
    exitCode = exitCodes[result.verdict];
    printResult(io, result, json);
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
    if (result.drawn) exitCode = result.drawn.exitCode;
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

/** Answers go to stdout; what went wrong, for people, to stderr. */
function printResult(io: TerminalIo, result: CommandResult, json: boolean): void {
  if (json) {
    io.stdout.write(`${toJson(result, new Date(systemClock.now()).toISOString())}\n`);
    return;
  }
  const lines = result.text.map((line) => `${line}\n`).join('');
  if (result.kind !== 'error') {
    const next = result.next.length > 0 ? `Next: ${result.next.join('; ')}\n` : '';
    io.stdout.write(lines + painter(io)('faint', next));
    return;
  }
  io.stderr.write(painter({ ...io, stdout: io.stderr })('bad', lines));
  if (result.next.length > 0) io.stderr.write(`Try: ${result.next.join('; ')}\n`);
}

/** `0 yes or done, 1 no, …`: verdicts that share a code share its words. */
function exitCodeLine(): string {
  const codes = new Set(Object.values(exitCodes));
  return [...codes].map((code) => `${code} ${exitCodeMeanings[code]?.short}`).join(', ');
}

function version(): string {
  const manifest = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { readonly version: string }).version;
}

const usageResult = (message: string): CommandResult => ({
  kind: 'error',
  verdict: 'usage',
  stateVersion: null,
  data: { code: 'USAGE', message },
  next: ['changeover help'],
  text: [message],
});

/** Every command with its options; `docs/reference/cli.md` is generated from it. */
export function createProgram(io: TerminalIo, perform: Perform): Command {
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
    .version(version(), '--version', 'version of changeover')
    .addHelpText('after', `\nExit codes: ${exitCodeLine()}.`)
    .showSuggestionAfterError()
    .helpCommand('help [command]', 'help for a command');
  for (const add of verbs) add(program, perform);
  return program;
}
