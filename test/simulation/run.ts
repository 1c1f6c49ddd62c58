import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { simulate } from './simulate.ts';

/**
 * `npm run sim -- [--seeds 2000] [--from 1] [--jobs N]`: many seeds, in several processes.
 * `npm run sim -- --seed S [--lines 60] [--about TEXT]`: one seed, with what happened in it.
 * Exit status 1 when a guarantee is broken.
 */
function option(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

const numberOption = (name: string, fallback: number): number => Number(option(name) ?? fallback);

/** What a job tells its parent. */
interface Told {
  readonly seed: number;
  readonly writes: number;
  readonly events: number;
  readonly virtualMs: number;
  /** null: clean. */
  readonly report: string | null;
}

async function runSeed(seed: number, lines: number): Promise<Told> {
  const result = await simulate(seed);
  const { violation, writes, events, virtualMs } = result;
  const told = { seed, writes, events, virtualMs };
  if (violation === null) return { ...told, report: null };
  return {
    ...told,
    report: [
      ...result.lastLines(lines, violation.subject),
      '',
      `seed ${seed}: ${violation.message}`,
      `again: npm run sim -- --seed ${seed} --lines 400 --about '${violation.subject}'`,
    ].join('\n'),
  };
}

async function showOne(seed: number): Promise<number> {
  const result = await simulate(seed);
  const { violation, digest, events, virtualMs, phase } = result;
  console.log(result.lastLines(numberOption('lines', 60), option('about')).join('\n'));
  console.log(`seed ${seed}: ${digest}, ${events} events, ${Math.round(virtualMs)} ms, ${phase}`);
  console.log(violation ? `broken: ${violation.message}` : 'clean');
  return violation ? 1 : 0;
}

/** A job: every `jobs`-th seed from its first one. */
async function runJob(first: number, until: number, jobs: number): Promise<void> {
  for (let seed = first; seed < until; seed += jobs) {
    process.send?.(await runSeed(seed, 60));
  }
  process.disconnect?.();
}

async function runMany(from: number, seeds: number, jobs: number): Promise<number> {
  const began = performance.now();
  const seconds = (): string => ((performance.now() - began) / 1000).toFixed(1);
  let done = 0;
  let writes = 0;
  let events = 0;
  let virtualMs = 0;
  let broken = false;
  const children = Array.from({ length: Math.min(jobs, seeds) }, (_, index) =>
    fork(fileURLToPath(import.meta.url), [
      '--job',
      String(from + index),
      '--until',
      String(from + seeds),
      '--jobs',
      String(jobs),
    ]),
  );
  const ends = children.map(
    (child) =>
      new Promise<void>((resolve) => {
        child.on('message', (told: Told) => {
          if (broken) return;
          done += 1;
          writes += told.writes;
          events += told.events;
          virtualMs += told.virtualMs;
          if (done % 100 === 0) console.log(`${done} of ${seeds} seeds, ${seconds()} s`);
          if (told.report === null) return;
          broken = true;
          console.log(told.report);
          for (const other of children) other.kill();
        });
        child.on('exit', (code) => {
          if (code !== 0 && !broken) {
            broken = true;
            console.log(`a job ended with status ${code}`);
          }
          resolve();
        });
      }),
  );
  await Promise.all(ends);
  if (broken) return 1;
  console.log(
    `${done} seeds clean in ${seconds()} s: ${writes} writes, ${events} events, ${Math.round(virtualMs / 1000)} s of virtual time`,
  );
  return done === seeds ? 0 : 1;
}

const job = option('job');
const seed = option('seed');
if (job !== undefined) await runJob(Number(job), numberOption('until', 0), numberOption('jobs', 1));
else if (seed !== undefined) process.exitCode = await showOne(Number(seed));
else {
  const jobs = numberOption('jobs', Math.min(4, availableParallelism()));
  process.exitCode = await runMany(numberOption('from', 1), numberOption('seeds', 200), jobs);
}
