/** The world around a command; tests hand in their own. */
export interface TerminalIo {
  readonly stdout: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  /** True when a person can be asked. */
  readonly interactive: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/** The process's own. */
export function processIo(): TerminalIo {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    interactive: process.stdin.isTTY === true && process.stdout.isTTY === true,
    env: process.env,
    cwd: process.cwd(),
  };
}

export type Tone = 'good' | 'bad' | 'doubt' | 'strong' | 'faint';

const codes: Readonly<Record<Tone, readonly [number, number]>> = {
  good: [32, 39],
  bad: [31, 39],
  doubt: [33, 39],
  strong: [1, 22],
  faint: [2, 22],
};

/** Colours text, or leaves it: no colours without a terminal, with NO_COLOR (https://no-color.org) or TERM=dumb. */
export type Paint = (tone: Tone, text: string) => string;

export function painter(io: Pick<TerminalIo, 'stdout' | 'env'>): Paint {
  const { NO_COLOR: none, TERM: term } = io.env;
  const plain = io.stdout.isTTY !== true || (none !== undefined && none !== '') || term === 'dumb';
  if (plain) return (_tone, text) => text;
  return (tone, text) => `\u001b[${codes[tone][0]}m${text}\u001b[${codes[tone][1]}m`;
}
