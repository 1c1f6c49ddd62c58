import { needsConfirmation } from './failure.ts';
import type { CommandResult } from './result.ts';
import type { CommandContext } from './session.ts';

/** null: go on. Asks a person; `--yes` answers, and without a person the command is refused. */
export async function confirmed(
  { io, globals }: CommandContext,
  question: string,
  stateVersion: number | null,
): Promise<CommandResult | null> {
  if (globals.yes) return null;
  if (!io.interactive || globals.json) return needsConfirmation(question, stateVersion);
  const { confirm, isCancel } = await import('@clack/prompts');
  const answer = await confirm({ message: `${question} Go on?`, initialValue: false });
  if (!isCancel(answer) && answer) return null;
  return {
    kind: 'confirmation',
    verdict: 'refused',
    stateVersion,
    data: { question, answer: false },
    next: [],
    text: ['Nothing was done.'],
  };
}
