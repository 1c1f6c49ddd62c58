/**
 * How fast is `rollback`? 50 processes with a router each follow a control store in PostgreSQL, phase `read-switch`, dial 100 %. From the command to the durable
 * state, to the last instance that routes by it, to the last acknowledgement in the fleet table. Beside a flag in a table that the same processes poll once a
 * second by hand. Then the same with the write switch, and what the fleet costs the control store at rest. Source, target and control store are
 * three servers.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { applierDefaults, drainOnce } from '../../src/capture/index.ts';
import { applyEvent, waitForAcknowledgements } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { switchAuthority } from '../../src/cutover/index.ts';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { type BenchContext, type Benchmark, type Case, compare, percentile } from '../measure.ts';
import { type BenchFleet, bundle, startFleet } from '../rollback/fleet.ts';
import { type Addresses, openBenchMigration } from '../rollback/migration.ts';

const instances = 50;
const rounds = 40;
const flagRounds = 20;
const commandRounds = 8;
const switchRounds = 20;
const restMs = 15_000;
const flagPollMs = 1_000;
/** On a busy machine the fleet's acknowledgements may take longer than an application would be held; here the time itself is the result. */
const patient = { holdMs: 20_000, ackTimeoutMs: 15_000, leaseMs: 30_000 };
const by = { actor: 'bench', reason: 'bench' };

type Context = Awaited<ReturnType<typeof openBenchMigration>>;

/** The kernel's monotonic clock, as the instances use it. */
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Times of many rounds as rows: median and 99th percentile. */
function rows(what: string, ours: readonly number[], alternative: readonly number[]): Case[] {
  return [
    compare(`${what}, median`, 'ms', percentile(ours, 0.5), percentile(alternative, 0.5)),
    compare(`${what}, p99`, 'ms', percentile(ours, 0.99), percentile(alternative, 0.99)),
  ];
}

const acknowledged = (context: Context, version: number): Promise<void> =>
  waitForAcknowledgements(context, version, { timeoutMs: 60_000, expired: 'wait' });

interface Round {
  readonly durableMs: number;
  /** Of the last instance. */
  readonly seenMs: number;
  /** Of every instance. */
  readonly allSeenMs: readonly number[];
  readonly acknowledgedMs: number;
}

async function dialUp(context: Context): Promise<void> {
  const { version } = await applyEvent(context, { type: 'dial', basisPoints: 10_000 }, by);
  await acknowledged(context, version);
  // Not in step with anybody's poll.
  await sleep(Math.random() * 400);
}

async function rollBackReads(context: Context, fleet: BenchFleet): Promise<Round> {
  await dialUp(context);
  const began = nowMs();
  const { state } = await createController(context).rollback(by);
  const durable = nowMs();
  await acknowledged(context, state.version);
  const known = nowMs();
  const seen = await fleet.seen('state', state.version);
  return {
    durableMs: durable - began,
    seenMs: Math.max(...seen) - began,
    allSeenMs: seen.map((at) => at - began),
    acknowledgedMs: known - began,
  };
}

/** The whole command as a process of its own: Node, the program, the connection. */
async function rollBackByCommand(
  context: Context,
  fleet: BenchFleet,
  program: string,
  control: string,
): Promise<number> {
  await dialUp(context);
  const { version } = await context.control.load(context.migration.name);
  const began = nowMs();
  const child = spawn(
    process.execPath,
    [program, 'rollback', '--name', context.migration.name, '--control', control],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = once(child, 'exit');
  const seen = await fleet.seen('state', version + 1);
  const [code] = await ended;
  if (code !== 0) throw new Error(`changeover rollback ended with ${code}`);
  await acknowledged(context, version + 1);
  return Math.max(...seen) - began;
}

/** The flag: durable when the UPDATE returns, seen when the last instance has polled. */
async function flagByHand(fleet: BenchFleet, client: pg.Client, version: number): Promise<Round> {
  await sleep(Math.random() * flagPollMs);
  const began = nowMs();
  await client.query('UPDATE flag SET version = $1', [version]);
  const durable = nowMs();
  const seen = await fleet.seen('flag', version);
  const seenMs = Math.max(...seen) - began;
  return {
    durableMs: durable - began,
    seenMs,
    allSeenMs: seen.map((at) => at - began),
    acknowledgedMs: seenMs,
  };
}

/** There and back again; only the way back is measured. */
async function rollBackWrites(
  context: Context,
  fleet: BenchFleet,
): Promise<{ readonly seenMs: number; readonly pauseMs: number }> {
  const drain = async (): Promise<unknown> =>
    drainOnce(context, await context.control.load(context.migration.name), applierDefaults);
  const there = await switchAuthority(context, {
    ...by,
    ...patient,
    to: 'target',
    phaseAfter: 'write-switch',
    drain,
  });
  await acknowledged(context, there.state.version);
  const began = nowMs();
  const { state, cutover } = await createController(context, { drain, cutover: patient }).rollback(
    by,
  );
  const seen = await fleet.seen('state', state.version);
  await acknowledged(context, state.version);
  return { seenMs: Math.max(...seen) - began, pauseMs: cutover?.pauseMs ?? Number.NaN };
}

/** Processor time that these processes have had, in seconds. */
function processorSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // A backend that has ended meanwhile.
    }
  }
  return ticks / 100;
}

interface Rest {
  readonly transactionsPerSecond: number;
  readonly connections: number;
  readonly processorShare: number;
}

/** What the fleet asks while nothing happens. */
async function atRest(client: pg.Client): Promise<Rest> {
  const count = async (): Promise<{ transactions: number; pids: number[] }> => {
    const { rows: found } = await client.query(
      `SELECT (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database())::int AS transactions,
        (SELECT array_agg(pid) FROM pg_stat_activity WHERE application_name = 'changeover-control') AS pids`,
    );
    return found[0];
  };
  await sleep(2_000);
  const before = await count();
  const secondsBefore = processorSeconds(before.pids);
  const began = nowMs();
  await sleep(restMs);
  const after = await count();
  const seconds = (nowMs() - began) / 1_000;
  return {
    // Backends report their counts about once a second.
    transactionsPerSecond: (after.transactions - before.transactions) / seconds,
    connections: after.pids.length,
    processorShare: (processorSeconds(before.pids) - secondsBefore) / seconds,
  };
}

async function prepare(servers: Readonly<Record<keyof Addresses, PrivatePostgres>>): Promise<void> {
  for (const side of ['source', 'target'] as const) {
    const client = new pg.Client({ connectionString: servers[side].url() });
    await client.connect();
    await client.query('CREATE TABLE items (id text PRIMARY KEY, value text NOT NULL)');
    await client.end();
  }
}

async function toReadSwitch(context: Context): Promise<void> {
  await context.stores.source.setup.install('authority', 1);
  await context.stores.target.setup.install('follower', 1);
  await applyEvent(context, { type: 'start', shadow: false }, by);
  for (const to of ['backfill', 'shadow-read', 'read-switch'] as const)
    await applyEvent(context, { type: 'advance', to }, by);
}

const roundTo = (value: number): string => value.toFixed(1);

async function measure(
  context: Context,
  fleet: BenchFleet,
  command: string,
  addresses: Addresses,
  { say }: BenchContext,
): Promise<readonly Case[]> {
  const client = new pg.Client({ connectionString: addresses.control });
  // It ends with the server when something else has failed.
  client.on('error', () => {});
  await client.connect();
  await client.query('CREATE TABLE flag (version int); INSERT INTO flag VALUES (0)');
  const rest = await atRest(client);
  say(
    `at rest: ${roundTo(rest.transactionsPerSecond)} transactions/s, ${rest.connections} connections, ${roundTo(rest.processorShare * 100)} % of a processor in their backends`,
  );
  const reads: Round[] = [];
  const secondsBefore = processorSeconds(fleet.pids);
  for (let round = 0; round < rounds; round++) reads.push(await rollBackReads(context, fleet));
  // Two changes a round: the dial, and the way back.
  const changeMs =
    ((processorSeconds(fleet.pids) - secondsBefore) * 1_000) / (2 * rounds * instances);
  say(
    `${rounds} rollbacks of the reads; a change takes each instance ${roundTo(changeMs)} ms of a processor, polls in between included; load ${loadavg()[0]?.toFixed(0)} on ${availableParallelism()} processors`,
  );
  const commands: number[] = [];
  for (let round = 0; round < commandRounds; round++)
    commands.push(await rollBackByCommand(context, fleet, command, addresses.control));
  const writes: Awaited<ReturnType<typeof rollBackWrites>>[] = [];
  for (let round = 0; round < switchRounds; round++)
    writes.push(await rollBackWrites(context, fleet));
  say(`${commandRounds} by the command, ${switchRounds} of the writes; now the flag by hand`);
  fleet.send({ type: 'poll', everyMs: flagPollMs });
  await sleep(2 * flagPollMs);
  const flags: Round[] = [];
  for (let round = 0; round < flagRounds; round++)
    flags.push(await flagByHand(fleet, client, round + 1));
  const flagRest = await atRest(client);
  await client.end();
  const of = (from: readonly Round[], what: 'durableMs' | 'seenMs' | 'acknowledgedMs'): number[] =>
    from.map((round) => round[what]);
  const flagSeen = of(flags, 'seenMs');
  return [
    ...rows('reads: state durable', of(reads, 'durableMs'), of(flags, 'durableMs')),
    ...rows(
      'reads: seen by one instance',
      reads.flatMap(({ allSeenMs }) => allSeenMs),
      flags.flatMap(({ allSeenMs }) => allSeenMs),
    ),
    ...rows(`reads: seen by all ${instances}`, of(reads, 'seenMs'), flagSeen),
    ...rows(`reads: acknowledged by all`, of(reads, 'acknowledgedMs'), of(flags, 'acknowledgedMs')),
    ...rows('reads: seen by all, from the start of the process', commands, flagSeen),
    ...rows(
      'writes: seen by all',
      writes.map(({ seenMs }) => seenMs),
      flagSeen,
    ),
    ...rows(
      'writes: held for',
      writes.map(({ pauseMs }) => pauseMs),
      flagSeen,
    ),
    compare(
      'control store at rest',
      'transactions/s',
      rest.transactionsPerSecond,
      flagRest.transactionsPerSecond - rest.transactionsPerSecond,
    ),
  ];
}

export const rollback: Benchmark = {
  name: 'rollback',
  async run(bench) {
    const settings = { max_connections: '500' };
    const [source, target, control] = await Promise.all([
      startPrivatePostgres({ settings }),
      startPrivatePostgres({ settings }),
      startPrivatePostgres({ settings, durable: true }),
    ]);
    const servers = { source, target, control };
    const addresses = { source: source.url(), target: target.url(), control: control.url() };
    let context: Context | null = null;
    let fleet: BenchFleet | null = null;
    try {
      const programs = await bundle({
        instance: new URL('../rollback/instance.ts', import.meta.url),
        cli: new URL('../../src/cli/main.ts', import.meta.url),
      });
      await prepare(servers);
      context = await openBenchMigration(addresses, 'operator');
      await toReadSwitch(context);
      const began = performance.now();
      fleet = await startFleet(programs.instance, instances, addresses);
      const megabytes = fleet.rssBytes.reduce((sum, bytes) => sum + bytes, 0) / 1e6;
      bench.say(
        `${instances} processes with a router each, started in ${Math.round((performance.now() - began) / 1_000)} s, ${Math.round(megabytes / instances)} MB each`,
      );
      return await measure(context, fleet, programs.cli, addresses, bench);
    } finally {
      await fleet?.stop();
      await context?.close();
      await Promise.all(Object.values(servers).map((server) => server.stop()));
    }
  },
};

export default rollback;
