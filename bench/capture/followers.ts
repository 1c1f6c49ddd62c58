import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Bank, cloneSeed, database, digest, dropClone, sql } from './bank.ts';

/** Somebody who makes a copy of the bank follow. From when it was prepared on, it misses nothing. */
export interface Follower {
  readonly name: string;
  /** Of its copy. */
  readonly url: string;
  /** Everything up to the moment from which on changes flow. `follow` lets them. */
  attach(): Promise<{ follow(): Promise<void> }>;
  /** Goes away, and can be attached again. */
  detach(): Promise<void>;
  /** Gives up the log and the copy. */
  remove(): Promise<void>;
}

/** PostgreSQL's own logical replication: one subscription, the slot made beforehand. */
export async function nativeFollower(bank: Bank, name: string): Promise<Follower> {
  const { source, target } = bank;
  const url = await cloneSeed(bank, name);
  await sql(
    source.url(database),
    `SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`,
  );
  const from = `host=${source.host} port=${source.port} user=${source.user} dbname=${database}`;
  await sql(
    url,
    `CREATE SUBSCRIPTION ${name} CONNECTION '${from}' PUBLICATION native
      WITH (create_slot = false, slot_name = '${name}', copy_data = false, enabled = false)`,
  );
  const unused = async (): Promise<void> => {
    const held = `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${name}' AND active`;
    while ((await sql(source.url(), held)).length > 0) await sleep(20);
  };
  return {
    name: 'native',
    url,
    attach: async () => ({
      follow: async () => {
        await sql(url, `ALTER SUBSCRIPTION ${name} ENABLE`);
      },
    }),
    async detach() {
      await sql(url, `ALTER SUBSCRIPTION ${name} DISABLE`);
      await unused();
    },
    async remove() {
      await sql(url, `ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`);
      await sql(url, `DROP SUBSCRIPTION ${name}`);
      await sql(source.url(), `SELECT pg_drop_replication_slot('${name}')`);
      await dropClone({ ...bank, target }, name);
    },
  };
}

/** What the process has taken so far. */
interface Spent {
  readonly cpuSeconds: number;
  readonly maxRssMb: number;
}

export interface OwnFollower extends Follower {
  /** The largest that the process has been. */
  readonly maxRssMb: number;
}

/**
 * The engine of this project, in one process from when it is first attached until it is removed: as a worker's, what it has compiled is kept.
 * `rowsPerSecond`: it copies the accounts as well, over a copy that has none.
 */
export async function ownFollower(
  bank: Bank,
  name: string,
  epoch: number,
  rowsPerSecond = 0,
): Promise<OwnFollower> {
  const url = await cloneSeed(bank, name);
  if (rowsPerSecond > 0) await sql(url, 'TRUNCATE pgbench_accounts');
  const args = [bank.source.url(database), url, String(epoch), String(rowsPerSecond)];
  let running: Run | null = null;
  let maxRssMb = 0;
  // Prepared: the stream exists from now on.
  await (await startRun(bank, args)).end();
  return {
    name: 'ours',
    url,
    get maxRssMb() {
      return maxRssMb;
    },
    async attach() {
      running ??= await startRun(bank, args);
      const { follow } = running;
      return { follow };
    },
    async detach() {
      maxRssMb = (await running?.rest())?.maxRssMb ?? maxRssMb;
    },
    async remove() {
      await running?.end();
      running = null;
      const stream = `changeover_bench_s_${epoch}`;
      await sql(bank.source.url(database), `DROP PUBLICATION IF EXISTS ${stream}`);
      await sql(
        bank.source.url(),
        `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${stream}'`,
      );
      await dropClone(bank, name);
    },
  };
}

interface Run {
  follow(): Promise<void>;
  rest(): Promise<Spent>;
  end(): Promise<void>;
}

async function startRun(bank: Bank, args: readonly string[]): Promise<Run> {
  const script = fileURLToPath(new URL('./follow-bank.ts', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // A session of its own, as a service has and as every process of PostgreSQL has: its niceness counts beside the others.
    detached: true,
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the follower has ended');
    return value;
  };
  if ((await said()) !== 'ready') throw new Error('the follower is not ready');
  const run: Run = {
    async follow() {
      child.stdin.write('follow\n');
    },
    async rest() {
      child.stdin.write('rest\n');
      return JSON.parse(await said()) as Spent;
    },
    async end() {
      const gone = once(child, 'exit');
      child.stdin.end();
      await gone;
      bank.attended.delete(run);
    },
  };
  bank.attended.add(run);
  return run;
}

/** Waits until everything that has committed at the source so far is to be seen in the copy. */
export async function caughtUp(bank: Bank, { url }: Follower): Promise<void> {
  const [row] = await sql(
    bank.source.url(database),
    'UPDATE probe SET number = number + 1 RETURNING number',
  );
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (;;) {
      const { rows } = await client.query('SELECT number FROM probe');
      if (BigInt(rows[0]?.number ?? 0) >= BigInt(String(row?.['number']))) return;
      await sleep(20);
    }
  } finally {
    await client.end();
  }
}

/** Throws unless the copy holds every row of the source, and no other. */
export async function checkCopy(bank: Bank, follower: Follower): Promise<void> {
  const [expected, found] = [await digest(bank.source.url(database)), await digest(follower.url)];
  if (expected !== found)
    throw new Error(`${follower.name}: the copy holds ${found}, the source ${expected}`);
}
