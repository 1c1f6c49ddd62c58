import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { DemoResult } from '../../src/demo/proof.ts';

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const storyTimeoutMs = 240_000;
const endTimeoutMs = 15_000;

interface Run {
  readonly child: ChildProcess;
  /** Temporary folder of its own: in the environment of its processes and in the arguments of its servers. */
  readonly folder: string;
  stdout: string;
  stderr: string;
}

/** The whole demo with fewer rows, as a process of its own. */
function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const folder = mkdtempSync(join(tmpdir(), 'changeover-story-'));
  // The servers may run under an account of their own.
  chmodSync(folder, 0o755);
  const child = spawn(process.execPath, ['--import', 'tsx', program, 'demo', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env, TMPDIR: folder },
  });
  const run: Run = { child, folder, stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    run.stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    run.stderr += text;
  });
  return run;
}

async function ended(run: Run): Promise<number | null> {
  const [status] = (await once(run.child, 'close')) as [number | null];
  return status;
}

function resultOf(run: Run): DemoResult {
  const last = run.stdout.trimEnd().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(last) as DemoResult;
  } catch {
    throw new Error(`the last line is not JSON: ${last}\n${run.stderr}`);
  }
}

/** Processes that belong to this run, in whatever generation. */
function survivors(folder: string): readonly string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return ['environ', 'cmdline'].some((file) =>
        readFileSync(`/proc/${name}/${file}`, 'utf8').includes(folder),
      );
    } catch {
      return false;
    }
  });
}

async function nothingRemains(run: Run): Promise<void> {
  const deadline = Date.now() + endTimeoutMs;
  for (;;) {
    const processes = survivors(run.folder);
    // The loader that compiles TypeScript keeps its cache there.
    const folders = readdirSync(run.folder).filter((name) => !name.startsWith('tsx-'));
    if (processes.length === 0 && folders.length === 0) break;
    if (Date.now() > deadline) {
      throw new Error(`left behind: ${[...processes, ...folders].join(', ')}`);
    }
    await sleep(100);
  }
  rmSync(run.folder, { recursive: true, force: true });
}

async function until(run: Run, pattern: RegExp): Promise<void> {
  const deadline = Date.now() + 90_000;
  while (!pattern.test(run.stdout + run.stderr)) {
    if (run.child.exitCode !== null || Date.now() > deadline) {
      throw new Error(`${pattern} was not said:\n${run.stderr}\n${run.stdout}`);
    }
    await sleep(50);
  }
}

const few = ['--once', '--rows', '6000', '--pace', '0.5'];

describe('the demo', () => {
  test(
    'moves the shop under live traffic, and every promise is kept',
    async () => {
      const run = start([...few, '--json']);
      const status = await ended(run);
      const result = resultOf(run);
      expect(result, run.stderr).toMatchObject({
        ok: true,
        failures: [],
        lost: 0,
        differing: 0,
        resurrected: 0,
        staleReads: 0,
        wrongReads: 0,
        failedRequests: 0,
        deadLetters: 0,
        healedAfterKill: true,
        throttledByLatency: true,
        wrongRowFound: true,
        wrongRowRepaired: true,
        retired: true,
      });
      expect(status).toBe(0);
      expect(run.stdout.trimEnd().split('\n')).toHaveLength(1);
      expect(result.acknowledgedWrites).toBeGreaterThan(1_000);
      expect(result.tokenReads).toBeGreaterThan(100);
      expect(result.rollbackMs).toBeLessThan(1_000);
      expect(result.longestWritePauseMs).toBeGreaterThan(0);
      expect(run.stderr).toContain('demo profile');
      expect(run.stderr).not.toContain('\x1b[');
      await nothingRemains(run);
    },
    storyTimeoutMs,
  );

  // What each kind of damage is called is a matter of the judge: see judge.test.ts.
  test(
    'fails when one row of the target vanishes after the end',
    async () => {
      const run = start([...few, '--json'], { CHANGEOVER_DEMO_SABOTAGE: 'lose' });
      const status = await ended(run);
      const result = resultOf(run);
      expect(result, run.stderr).toMatchObject({
        ok: false,
        failures: ['1 lost'],
        lost: 1,
        differing: 0,
        resurrected: 0,
      });
      expect(status).toBe(1);
      await nothingRemains(run);
    },
    storyTimeoutMs,
  );

  test.each([
    ['SIGINT', /two processes serve customers/],
    ['SIGTERM', /in chunks, while writes go on/],
    ['SIGKILL', /two processes serve customers/],
  ] as const)(
    'leaves no process and no folder behind after %s',
    async (signal, moment) => {
      const run = start([...few]);
      await until(run, moment);
      run.child.kill(signal);
      const status = await ended(run);
      if (signal !== 'SIGKILL') expect(status).toBe(130);
      await nothingRemains(run);
    },
    storyTimeoutMs,
  );
});
