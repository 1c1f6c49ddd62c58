import { type Command, InvalidArgumentError } from 'commander';
import type { CommandResult } from './result.ts';
import type { CommandContext, GlobalOptions } from './session.ts';

/** Options of a command with the global ones. */
export type Flags = GlobalOptions & Readonly<Record<string, unknown>>;

/** Runs a command and prints its result. */
export type Perform = (
  flags: Flags,
  body: (context: CommandContext) => Promise<CommandResult>,
) => Promise<void>;

/** Each file in `commands/` adds its verb to the program. */
export type AddCommand = (program: Command, perform: Perform) => void;

/** What was given on the command line, to the command and before it. */
export const flagsOf = <T>(command: Command): T & Flags => command.optsWithGlobals() as T & Flags;

/** A whole number, as an option's value. */
export function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It has to be a whole number.');
  return Number(text);
}

/** An option that may be given several times. */
export const collected = (
  value: string,
  before: readonly string[] | undefined,
): readonly string[] => [...(before ?? []), value];
