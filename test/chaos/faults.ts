import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'libsql';
import type { PrivatePostgres } from '../../src/demo/private-postgres.ts';
import type { Random } from '../../src/runtime/index.ts';
import { leaseMs } from './chaos-migration.ts';
import { type ChaosWorld, count } from './chaos-world.ts';
import type { Child } from './child.ts';

/** One kind of fault: does it, and undoes it. The result says what was done. */
type Fault = (world: ChaosWorld, random: Random) => Promise<string>;

export const choose = (children: readonly Child[], random: Random): Child =>
  children[Math.floor(random.next() * children.length)] as Child;
export const between = (random: Random, from: number, to: number): number =>
  Math.round(from + random.next() * (to - from));

function killChild(of: (world: ChaosWorld) => readonly Child[]): Fault {
  return async (world, random) => {
    const child = choose(of(world), random);
    const downMs = between(random, 100, 4_000);
    await child.kill();
    await sleep(downMs);
    child.start();
    return `kill -9 of ${child.name}, started again after ${downMs} ms`;
  };
}

function freezeChild(of: (world: ChaosWorld) => readonly Child[]): Fault {
  return async (world, random) => {
    const child = choose(of(world), random);
    const ms = between(random, leaseMs + 1_000, leaseMs + 4_000);
    await child.freeze(ms);
    return `${child.name} frozen for ${ms} ms, longer than its lease of ${leaseMs} ms`;
  };
}

const killBetweenTwoWrites: Fault = async (world, random) => {
  const child = choose(world.applications, random);
  child.send({ type: 'kill-between-two-writes' });
  if (!(await child.endsWithin(5_000))) {
    await child.kill();
    child.start();
    return `${child.name} made no write for 5 s, and was killed`;
  }
  await sleep(between(random, 100, 3_000));
  child.start();
  return `${child.name} killed itself between its two writes`;
};

type ServerName = 'source' | 'target' | 'control';

function killServer(name: ServerName): Fault {
  return async ({ servers, addresses }, random) => {
    const server = servers[name];
    if (server === null) return lockControlFile(addresses.controlPath, between(random, 500, 5_000));
    const downMs = between(random, 50, 4_000);
    await server.kill();
    await sleep(downMs);
    await restart(server);
    return `kill -9 of the ${name}, up again after ${downMs} ms`;
  };
}

/** A machine under such a load may take its time. */
export async function restart(server: PrivatePostgres): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await server.start();
    } catch (error) {
      if (tries >= 3) throw error;
      await sleep(1_000);
    }
  }
}

function pauseServer(name: ServerName): Fault {
  return async ({ servers, addresses }, random) => {
    const server = servers[name];
    const ms = between(random, 500, 6_000);
    if (server === null) return lockControlFile(addresses.controlPath, ms);
    server.pause();
    try {
      await sleep(ms);
    } finally {
      server.resume();
    }
    return `the ${name} paused for ${ms} ms`;
  };
}

/** The control file has no server that could be killed; another program that holds its lock comes near. */
async function lockControlFile(path: string, ms: number): Promise<string> {
  const file = new Database(path);
  try {
    file.exec('PRAGMA busy_timeout = 2000');
    file.exec('BEGIN IMMEDIATE');
    await sleep(ms);
    file.exec('ROLLBACK');
  } finally {
    file.close();
  }
  return `the control file locked by another program for ${ms} ms`;
}

/** Every idle session of a server is ended, as a proxy or an administrator does. */
function cutConnections(name: 'source' | 'target'): Fault {
  return async ({ addresses }) => {
    const { default: pg } = await import('pg');
    const connectionString = name === 'source' ? addresses.sourceUrl : addresses.targetUrl;
    const client = new pg.Client({ connectionString });
    client.on('error', () => {});
    await client.connect();
    try {
      const { rowCount } = await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      );
      return `${rowCount} connections to the ${name} cut`;
    } finally {
      await client.end();
    }
  };
}

const applications = ({ applications: all }: ChaosWorld): readonly Child[] => all;
const workers = ({ workers: all }: ChaosWorld): readonly Child[] => all;
const operator = ({ operator: one }: ChaosWorld): readonly Child[] => [one];

/** Every kind of fault with its weight. `operator-in-switch` is in the operator itself. */
export const faults: Readonly<Record<string, { readonly weight: number; readonly fault: Fault }>> =
  {
    'kill-application': { weight: 2, fault: killChild(applications) },
    'kill-between-writes': { weight: 3, fault: killBetweenTwoWrites },
    'freeze-application': { weight: 3, fault: freezeChild(applications) },
    'kill-worker': { weight: 2, fault: killChild(workers) },
    'freeze-worker': { weight: 2, fault: freezeChild(workers) },
    'kill-operator': { weight: 2, fault: killChild(operator) },
    'freeze-operator': { weight: 1, fault: freezeChild(operator) },
    'kill-source': { weight: 2, fault: killServer('source') },
    'kill-target': { weight: 2, fault: killServer('target') },
    'kill-control': { weight: 2, fault: killServer('control') },
    'pause-source': { weight: 1, fault: pauseServer('source') },
    'pause-target': { weight: 2, fault: pauseServer('target') },
    'pause-control': { weight: 1, fault: pauseServer('control') },
    'cut-source': { weight: 1, fault: cutConnections('source') },
    'cut-target': { weight: 1, fault: cutConnections('target') },
  };

/** How often a second fault of another kind comes on top. */
const doubled = 0.3;
const quietMs = [500, 3_500] as const;

/** Injects faults one after the other, sometimes two at once, until all rounds are done or the time is over. */
export async function injectFaults(
  world: ChaosWorld,
  random: Random,
  signal: AbortSignal,
): Promise<void> {
  const { rounds, minutes } = world.options;
  const until = performance.now() + minutes * 60_000;
  for (let round = 1; round <= rounds && performance.now() < until && !signal.aborted; round++) {
    const first = draw(world, random, []);
    if (first === null) return;
    const second = random.next() < doubled ? draw(world, random, [first]) : null;
    const chosen = second === null ? [first] : [first, second];
    await Promise.all(chosen.map((name) => inject(world, name, `${round}/${rounds}`, random)));
    await sleep(between(random, ...quietMs));
  }
}

async function inject(
  world: ChaosWorld,
  name: string,
  round: string,
  random: Random,
): Promise<void> {
  count(world.report.faults, name);
  try {
    world.say('fault', `${round} ${name}: ${(await faults[name]?.fault(world, random)) ?? ''}`);
  } catch (error) {
    // A fault that hits what the other one has hit already, such as cutting the connections of a dead server.
    world.say('fault', `${round} ${name}: came to nothing (${(error as Error).message})`);
  }
}

/** Two faults at once never hit the same thing. */
function draw(world: ChaosWorld, random: Random, taken: readonly string[]): string | null {
  const { only } = world.options;
  const thing = (name: string): string | undefined =>
    name.split('-')[1]?.replace('between', 'application');
  const possible = Object.entries(faults).filter(
    ([name]) =>
      (only.length === 0 || only.includes(name)) &&
      !taken.some((other) => thing(other) === thing(name)),
  );
  const total = possible.reduce((sum, [, { weight }]) => sum + weight, 0);
  let dice = random.next() * total;
  for (const [name, { weight }] of possible) {
    dice -= weight;
    if (dice < 0) return name;
  }
  return null;
}
