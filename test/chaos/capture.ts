/**
 * Chaos for capture by log (`npm run chaos -- capture`): pgbench and sysbench go on while the worker, the source and the target are killed, frozen
 * and cut off at random. At the end every row of both stores is compared by queries of our own. Exits 1 when anything is lost or extra.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Random, seededRandom } from '../../src/runtime/index.ts';
import { cli, cliJson } from '../support/cli.ts';
import { type CaptureWorld, openBankWorld, openSbtestWorld } from './capture-world.ts';
import { Child } from './child.ts';

const HEAL_MS = 120_000;
const usage = `npm run chaos -- capture [options]
  --kills N     faults to inject, half of them in each world (default 50)
  --seed S      chance of faults (default: drawn)
  --world W     pgbench | sysbench: only this one`;

type Say = (topic: string, text: string) => void;
const begun = performance.now();
const say: Say = (topic, text) => {
  const seconds = ((performance.now() - begun) / 1_000).toFixed(1).padStart(6);
  process.stdout.write(`${seconds}  ${topic.padEnd(10)} ${text}\n`);
};

/** Something that is done to a world; resolves when it is over. */
type Fault = (world: CaptureWorld, worker: Child, random: Random) => Promise<void>;

const faults: Readonly<Record<string, Fault>> = {
  'kill the worker': async (_world, worker) => {
    await worker.kill();
    worker.start();
  },
  'freeze the worker': (_world, worker, random) => worker.freeze(500 + random.next() * 3_000),
  'kill the source': async ({ source }) => {
    await source.kill();
    await sleep(300);
    await source.start();
  },
  'kill the target': async ({ target }) => {
    await target.kill();
    await sleep(300);
    await target.start();
  },
  'cut the network': async ({ networks }, _worker, random) => {
    networks[random.next() < 0.5 ? 0 : 1]?.cut();
  },
};

/** Traffic that begins again whenever its server has ended it. */
function keepTrafficUp(world: CaptureWorld): () => Promise<void> {
  let stopped = false;
  let running: ReturnType<CaptureWorld['traffic']> | null = null;
  const loop = (async (): Promise<void> => {
    while (!stopped) {
      const child = world.traffic(600);
      running = child;
      await new Promise<void>((resolve) => {
        child.once('close', () => resolve());
        child.once('error', () => resolve());
      });
      if (!stopped) await sleep(200);
    }
  })();
  return async () => {
    stopped = true;
    running?.kill('SIGTERM');
    await loop;
  };
}

/** Forward, as far as the gates let it, while faults go on. */
async function pushOn(folder: string, until: () => boolean): Promise<void> {
  while (!until()) {
    const { json } = await cliJson(folder, 'plan').catch(() => ({ json: null }));
    const to = json?.data['to'];
    if (json?.verdict === 'yes' && (to === 'backfill' || to === 'shadow-read')) {
      const { code } = await cli(folder, 'advance', '--yes', '--reason', 'chaos');
      if (code === 0) say('operator', `advanced to ${String(to)}`);
    }
    await sleep(500);
  }
}

async function run(
  open: () => Promise<CaptureWorld>,
  kills: number,
  random: Random,
): Promise<boolean> {
  const world = await open();
  const folder = mkdtempSync(join(tmpdir(), 'changeover-chaos-'));
  writeFileSync(join(folder, 'changeover.config.mts'), world.config);
  say('world', world.name);
  const notes: string[] = [];
  const worker = new Child('worker', './capture-worker.ts', () => ({ folder }), {
    message: (message) => {
      if (message.type === 'note') notes.push(message.text);
    },
    died: (how) => say('worker', `died: ${how}`),
  });
  const stopTraffic = keepTrafficUp(world);
  try {
    await sleep(1_000);
    const started = await cli(folder, 'start', '--reason', 'chaos');
    if (started.code !== 0) throw new Error(`start: ${started.stdout}${started.stderr}`);
    worker.start();
    let over = false;
    const operator = pushOn(folder, () => over);
    const names = Object.keys(faults);
    for (let kill = 1; kill <= kills; kill++) {
      // A worker is up after two seconds or so: some faults meet it at work, some at its start.
      await sleep(500 + random.next() * 4_500);
      const name = names[Math.floor(random.next() * names.length)] ?? '';
      say('fault', `${kill} of ${kills}: ${name}`);
      await faults[name]?.(world, worker, random);
    }
    await sleep(1_000);
    over = true;
    await operator;
    await stopTraffic();
    return await judge(world, folder, notes);
  } finally {
    await stopTraffic();
    await worker.destroy();
    await world.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Everything arrives, in whatever phase we are; what was not copied yet is copied first. */
async function judge(
  world: CaptureWorld,
  folder: string,
  notes: readonly string[],
): Promise<boolean> {
  say('heal', 'no more faults, no more traffic');
  let differing: readonly string[] = ['not looked yet'];
  const until = performance.now() + HEAL_MS;
  const pushed = pushOn(folder, () => differing.length === 0 || performance.now() > until);
  while (differing.length > 0 && performance.now() < until) {
    await sleep(500);
    differing = await world.differences().catch((error: unknown) => [String(error)]);
  }
  await pushed;
  const status = await cliJson(folder, 'status');
  const sides = (status.json.data['sides'] ?? {}) as Record<
    string,
    { queue: { dead: number } | null }
  >;
  const dead = sides['source']?.queue?.dead ?? -1;
  say(
    'judge',
    `dead letters ${dead}; ${differing.length === 0 ? 'every row is equal' : differing.join('; ')}`,
  );
  if (differing.length > 0) for (const note of notes.slice(-8)) say('worker', note);
  return differing.length === 0 && dead === 0;
}

/** The exit code. */
export async function captureChaos(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      kills: { type: 'string', default: '50' },
      seed: { type: 'string', default: String(Date.now() % 100_000) },
      world: { type: 'string', default: '' },
    },
  });
  const kills = Number(values.kills);
  const worlds = { pgbench: openBankWorld, sysbench: openSbtestWorld } as const;
  const chosen = Object.entries(worlds).filter(
    ([name]) => values.world === '' || values.world === name,
  );
  if (!Number.isInteger(kills) || kills < 0 || chosen.length === 0) {
    process.stderr.write(`${usage}\n`);
    return 2;
  }
  say('chaos', `seed ${values.seed}`);
  const random = seededRandom(Number(values.seed));
  let good = true;
  for (const [, open] of chosen)
    good = (await run(open, Math.ceil(kills / chosen.length), random)) && good;
  process.stdout.write(
    good
      ? '\n  ✓ nothing lost, nothing extra\n'
      : `\n  ✗ FAILED; again with: npm run chaos -- capture --seed ${values.seed} --kills ${kills}\n`,
  );
  return good ? 0 : 1;
}
