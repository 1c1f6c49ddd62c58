import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';

const main = fileURLToPath(new URL('../chaos/main.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');
const timeoutMs = 240_000;
let running: ChildProcess | null = null;

afterEach(() => {
  // Its servers and processes notice, and end with it.
  running?.kill('SIGKILL');
});

interface Run {
  readonly code: number | null;
  readonly output: string;
}

function chaos(...args: readonly string[]): Promise<Run> {
  const child = spawn(process.execPath, ['--import', tsx, main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running = child;
  let output = '';
  child.stdout?.on('data', (chunk) => (output += String(chunk)));
  child.stderr?.on('data', (chunk) => (output += String(chunk)));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}

test.each(['parallel', 'log'])(
  'processes and servers are killed during a migration by %s, and nothing is lost',
  async (mode) => {
    const { code, output } = await chaos(
      ...['--rounds', '5', '--seed', '11', '--mode', mode, '--rows', '800', '--switches', '1'],
      ...['--minutes', '0.4'],
    );
    expect(output).toMatch(/fault +1\/5 /);
    // A write whose change the log will tell has no version yet.
    const versioned = mode === 'log' ? '' : ' +\\d{2,}';
    expect(output).toMatch(new RegExp(`✓ two authorities +0${versioned}`));
    expect(output).toMatch(/operator .*switched in/);
    expect(output).toContain('✓ nothing lost');
    expect(code).toBe(0);
  },
  timeoutMs,
);

test(
  'a row that vanishes from the target behind everybody’s back is found, and the run fails',
  async () => {
    const { code, output } = await chaos(
      ...['--rounds', '0', '--seed', '3', '--mode', 'serial', '--control', 'sqlite'],
      ...['--rows', '300', '--switches', '0', '--sabotage', 'lose'],
    );
    expect(output).toMatch(/✗ lost +1 /);
    expect(output).toMatch(/lost: customer \d+ in target/);
    expect(code).toBe(1);
  },
  timeoutMs,
);

test('a wrong option is refused with the usage', async () => {
  const { code, output } = await chaos('--mode', 'sideways');
  expect(output).toContain('--mode sideways is none of serial, parallel');
  expect(code).toBe(2);
});
