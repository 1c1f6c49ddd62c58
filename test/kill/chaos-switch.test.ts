import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import type { CellResult } from '../chaos/switch-cell.ts';

const main = fileURLToPath(new URL('../chaos/main.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');
/** Under a minute on an idle machine. */
const timeoutMs = 480_000;
let running: ChildProcess | null = null;

afterEach(() => {
  // Its servers and processes notice, and end with it.
  running?.kill('SIGKILL');
});

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function chaosSwitch(...args: readonly string[]): Promise<Run> {
  const child = spawn(process.execPath, ['--import', tsx, main, 'switch', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running = child;
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout?.on('data', (chunk) => out.push(String(chunk)));
  child.stderr?.on('data', (chunk) => err.push(String(chunk)));
  return new Promise((resolve) =>
    child.once('close', (code) => resolve({ code, stdout: out.join(''), stderr: err.join('') })),
  );
}

test(
  'whatever fails while both guards are flipped, one store has authority and nothing is lost',
  async () => {
    const faults = ['kill-coordinator', 'freeze-instance', 'kill-target', 'cut-control'];
    const { code, stdout, stderr } = await chaosSwitch(
      ...['--steps', 'flip', '--faults', faults.join(','), '--seed', '5', '--back', 'none'],
      ...['--rows', '200', '--json'],
    );
    expect(code, stderr).toBe(0);
    const { cells } = JSON.parse(stdout) as { readonly cells: readonly CellResult[] };
    expect(cells.map(({ fault }) => fault)).toEqual(faults);
    expect(cells.map(({ problems }) => problems)).toEqual(faults.map(() => []));
    const outcomeOf = (name: string): unknown => cells.find(({ fault }) => fault === name)?.outcome;
    expect(outcomeOf('kill-coordinator')).toBe('undone');
    // The writes that it had in hand were let in before the seal.
    expect(outcomeOf('freeze-instance')).toBe('completed');
    expect(stderr).toMatch(/flip +✓ undone \d+/);
  },
  timeoutMs,
);

test('an unknown step is refused with the usage', async () => {
  const { code, stderr } = await chaosSwitch('--steps', 'flip,flop');
  expect(stderr).toContain('--steps flop is none of preflight, begin, arm');
  expect(code).toBe(2);
});
