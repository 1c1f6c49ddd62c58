/**
 * Chaos: whole migrations by real processes on real servers, while processes are killed and frozen and servers die. At the end the
 * ledgers of the applications are compared with both stores; exits 1 when anything is lost, 2 for a wrong option, 130 after Ctrl-C.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/runtime/index.ts';
import { type ChaosOptions, parseChaosOptions } from './chaos-options.ts';
import { type ChaosWorld, openChaosWorld } from './chaos-world.ts';
import { injectFaults } from './faults.ts';
import { judgeChaos } from './judgement.ts';

const finishMs = 180_000;
const begun = performance.now();

function say(topic: string, text: string): void {
  const seconds = ((performance.now() - begun) / 1_000).toFixed(1).padStart(6);
  process.stdout.write(`${seconds}  ${topic.padEnd(13)} ${text}\n`);
}

async function run(world: ChaosWorld, signal: AbortSignal): Promise<number> {
  const { options, applications, workers, operator, report } = world;
  for (const child of [...applications, ...workers, operator]) child.start();
  await sleep(2_000);
  await injectFaults(world, seededRandom(options.seed), signal);
  if (signal.aborted) return 130;
  say('finish', 'no more faults; the operator brings the migration to an end');
  if (!(await world.finish(finishMs)))
    report.violations.push(`the migration did not come to an end within ${finishMs} ms`);
  if (signal.aborted) return 130;
  say('judge', 'queues run empty, then ledgers and stores are compared');
  const { ok, lines } = await judgeChaos(world);
  process.stdout.write(`\n${lines.join('\n')}\n\n`);
  process.stdout.write(
    ok
      ? `  ✓ nothing lost\n`
      : `  ✗ FAILED; again with: npm run chaos -- --seed ${options.seed} --mode ${options.mode} --control ${options.control}\n`,
  );
  return ok ? 0 : 1;
}

async function main(): Promise<number> {
  const [first, ...rest] = process.argv.slice(2);
  if (first === 'capture') return (await import('./capture.ts')).captureChaos(rest);
  if (first === 'switch') return (await import('./switch.ts')).switchChaos(rest);
  let options: ChaosOptions;
  try {
    options = parseChaosOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return 2;
  }
  const abort = new AbortController();
  say('chaos', `seed ${options.seed}, writes ${options.mode}, control store in ${options.control}`);
  const world = await openChaosWorld(options, say);
  const interrupted = new Promise<number>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(name, () => {
        abort.abort();
        resolve(130);
      });
  });
  try {
    const work = run(world, abort.signal);
    work.catch(() => {});
    return await Promise.race([work, interrupted]);
  } finally {
    await world.stop();
  }
}

process.exit(await main());
