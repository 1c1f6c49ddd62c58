import { runCli } from '../../src/cli/program.ts';

/** What a command line did. */
export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The JSON object of a command. */
export interface CliJson {
  readonly schemaVersion: number;
  readonly kind: string;
  readonly stateVersion: number | null;
  readonly observedAt: string;
  readonly verdict: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly next: readonly string[];
}

/** Runs a command line in this process, without a terminal. */
export async function cli(folder: string, ...argv: readonly string[]): Promise<CliRun> {
  let stdout = '';
  let stderr = '';
  const code = await runCli(argv, {
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    interactive: false,
    env: {},
    cwd: folder,
  });
  return { code, stdout, stderr };
}

/** The same with `--json`: exactly one object on stdout, or it fails. */
export async function cliJson(
  folder: string,
  ...argv: readonly string[]
): Promise<CliRun & { readonly json: CliJson }> {
  const run = await cli(folder, ...argv, '--json');
  const lines = run.stdout.trimEnd().split('\n');
  if (lines.length !== 1) throw new Error(`not one line: ${run.stdout}\n${run.stderr}`);
  return { ...run, json: JSON.parse(lines[0] ?? '') as CliJson };
}
