/** The middle of the story: the target is compared, read in the shadow, read for real, spoiled, repaired, and left again. */
import pg from 'pg';
import { comparatorsOf, type Mismatch } from '../control/index.ts';
import { decodeKey } from '../record/index.ts';
import {
  persistentTotal,
  repair,
  type VerifyOptions,
  type VerifyReport,
  verifyCollection,
} from '../verify/index.ts';
import { monotonicMs } from './ledger.ts';
import { renderDifferences } from './proof.ts';
import { act, advanceWhenReady, allFollow } from './story-advance.ts';
import { collection, reservedRows, type StoryWorld, until } from './story-world.ts';
import { count, duration } from './terminal-style.ts';

/** All customers, both ways, while writes go on; noted in the audit, where the gates look for it. */
export async function verifyAll(world: StoryWorld): Promise<void> {
  const { context, worker, view } = world;
  view.set({ activity: 'verify: every customer, in both directions' });
  view.expectVerifyRows(world.before.size);
  const report = await verify(world, {});
  await context.control.note(context.migration.name, {
    ...act('the demo verifies'),
    action: 'verify',
    detail: {
      generation: worker.state().generation,
      collections: [collection],
      finished: report.outcome !== 'stopped',
      open: persistentTotal(report) + report.unresolved,
      startedAtMs: report.startedAtMs,
      comparators: comparatorsOf(context.migration, report.startedAtMs),
    },
  });
}

/** The last tenth of the legacy shop and all that came later: a second full look would only take time. */
async function verifyEnd(world: StoryWorld): Promise<VerifyReport> {
  const rows = world.options.rows;
  const from = Math.floor(rows * 0.9);
  world.view.set({ activity: `verify: customers from ${count(from)} on` });
  world.view.expectVerifyRows(rows - from);
  return verify(world, { scope: { after: [String(from)], until: null } });
}

async function verify(
  world: StoryWorld,
  what: Pick<VerifyOptions, 'scope'>,
): Promise<VerifyReport> {
  const { context, worker, view, say, signal } = world;
  const currentState = () => worker.state();
  const report = await verifyCollection(context, collection, { currentState, ...what }, signal);
  view.set({ progress: null });
  const open = persistentTotal(report);
  const compared = `${count(report.compared)} customers compared in ${duration(report.durationMs)}`;
  if (open > 0) say('bad', 'verify', `${compared}: ${open} differ for good`);
  else
    say(
      'good',
      'verify',
      `${compared}: 0 differ (${report.suspects} were in motion, and equal at a second look)`,
    );
  return report;
}

/** Reads are answered by the source and repeated on the target, off the callers' path, until that proves enough. */
export async function shadowReads(world: StoryWorld): Promise<void> {
  const { view, say } = world;
  view.set({ activity: 'shadow reads: the target answers too, nobody waits for it' });
  const { state } = await advanceWhenReady(world, 'shadow-read');
  await allFollow(world, state.version);
  say('begin', 'shadow-read', 'each read is repeated on the target and compared');
  const before = view.shadowReads;
  await until(
    world,
    'some shadow reads',
    60_000,
    () => view.shadowReads.compared - before.compared >= 300,
  );
  const { compared, suspect } = view.shadowReads;
  say('info', 'shadow-read', `${count(compared)} compared, ${suspect} suspect at first sight`);
}

/** A share of the customers is served by the target. */
export async function dial(world: StoryWorld, percents: readonly number[]): Promise<void> {
  const { controller, view, say } = world;
  for (const percent of percents) {
    view.set({ activity: `read switch: ${percent} % of the customers are served by the target` });
    const state = await controller.dial(percent, undefined, act(`the demo dials ${percent} %`));
    await allFollow(world, state.version);
    // What was counted before the dial moved is reported within 200 ms.
    await world.stay(300);
    const before = view.readsSoFar;
    await world.stay(2_000);
    const reads = view.readsSoFar.all - before.all;
    const share = ((view.readsSoFar.target - before.target) / Math.max(1, reads)) * 100;
    say(
      'begin',
      'dial',
      `${percent} %: the target served ${share.toFixed(share < 10 ? 1 : 0)} % of ${count(reads)} reads`,
    );
  }
}

export async function openReadSwitch(world: StoryWorld): Promise<void> {
  const { state } = await advanceWhenReady(world, 'read-switch');
  await allFollow(world, state.version);
}

/** One customer is made wrong in the target, behind everybody's back; verify has to find it, repair to mend it. */
export async function wrongRow(world: StoryWorld): Promise<void> {
  const { context, worker, view, say, signal, terminal, facts } = world;
  view.set({ activity: 'somebody spoils a row in the target' });
  const id = String(world.options.rows - Math.floor(reservedRows / 2));
  await spoil(world, id);
  const report = await verifyEnd(world);
  const open = await context.control.mismatches.list(context.migration.name, {
    status: 'open',
    limit: 10,
  });
  const found = open.find((mismatch) => decodeKey(mismatch.key)[0] === id);
  const alone = report.outcome === 'failed' && open.length === 1;
  facts.wrongRow = { found: found !== undefined && alone, repaired: false };
  if (!found) throw new Error('verify did not find the wrong row');
  showDifferences(world, found);
  const repaired = await repair(
    context,
    collection,
    'open',
    { currentState: () => worker.state(), mode: 'apply' },
    signal,
  );
  say(
    'info',
    'repair',
    `read again under its lock, sent through the door: ${repaired.counts.repaired} repaired, ${repaired.counts.failed} failed`,
  );
  const after = await verifyEnd(world);
  facts.wrongRow = {
    found: facts.wrongRow.found,
    repaired: repaired.counts.repaired === 1 && after.outcome === 'passed',
  };
  terminal.event(
    facts.wrongRow.repaired ? 'good' : 'bad',
    'repair',
    `customer ${id} is as the source has it`,
  );
  await acknowledgeStranger(world);
}

/** The target has noted who it was, and the gate to the write switch stays shut until somebody answers for it. */
async function acknowledgeStranger({ controller, say }: StoryWorld): Promise<void> {
  const seen = await controller.rogueWrites(1);
  const [write] = seen?.writes ?? [];
  if (write)
    say(
      'warn',
      'rogue',
      `noted in the target: ${write.operation} on ${write.table} by ${write.user} / ${write.application}`,
    );
  await controller.acknowledgeRogueWrites(act('found by verify, and repaired'));
}

function showDifferences(world: StoryWorld, found: Mismatch): void {
  const { say, terminal } = world;
  say(
    'bad',
    'mismatch',
    `customer ${decodeKey(found.key).join('/')} is ${found.kind}, found by ${found.detector}`,
  );
  terminal.block(renderDifferences(found.differences, terminal.paint));
}

/** A stray statement; where the target's guard refuses it, an administrator who switches the guard off for a moment. */
async function spoil(world: StoryWorld, id: string): Promise<void> {
  const { servers, say } = world;
  const client = new pg.Client({
    connectionString: servers.targetUrl,
    application_name: 'a person',
  });
  await client.connect();
  try {
    const statements = async (): Promise<void> => {
      await client.query(
        `UPDATE customers SET balance = COALESCE(balance, 0) + 100, currency = COALESCE(currency, 'EUR'),
           given_name = upper(given_name) || '?' WHERE id = $1`,
        [id],
      );
      await client.query(
        'DELETE FROM contact_points WHERE customer_id = $1 AND kind = (SELECT min(kind) FROM contact_points WHERE customer_id = $1)',
        [id],
      );
    };
    try {
      await client.query('BEGIN');
      await statements();
      await client.query('COMMIT');
      say('warn', 'stray write', `somebody changes customer ${id} in the target by hand`);
    } catch {
      await client.query('ROLLBACK');
      say('good', 'guard', 'the target itself refuses a stray UPDATE');
      await withoutTriggers(client, statements);
      say(
        'warn',
        'stray write',
        `an administrator switches the triggers off and changes customer ${id} all the same`,
      );
    }
  } finally {
    await client.end();
  }
}

async function withoutTriggers(client: pg.Client, work: () => Promise<void>): Promise<void> {
  await client.query('BEGIN');
  try {
    const { rows } = await client.query<{ disable: string; enable: string }>(
      `SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', tgrelid::regclass, tgname) AS disable,
              format('ALTER TABLE %s ENABLE %s TRIGGER %I', tgrelid::regclass,
                CASE tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END, tgname) AS enable
       FROM pg_trigger
       WHERE NOT tgisinternal AND tgenabled <> 'D'
         AND tgrelid IN ('customers'::regclass, 'contact_points'::regclass)`,
    );
    for (const { disable } of rows) await client.query(disable);
    await work();
    for (const { enable } of rows) await client.query(enable);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

/** All reads back to the source; the time is taken in the application processes. */
export async function rollback(world: StoryWorld): Promise<void> {
  const { applications, controller, states, view, say, facts } = world;
  view.set({ activity: 'rollback: all reads go back to the source' });
  const begun = monotonicMs();
  const result = await controller.rollback({ to: 'read-switch', ...act('the demo goes back') });
  await allFollow(world, result.state.version);
  // Long enough that a read which was still under way to the target has ended and been seen.
  await world.stay(600 / Math.max(0.1, world.options.pace));
  const reports = await Promise.all(
    applications.map((shop) => shop.ask({ type: 'report-reads' }, 'reads')),
  );
  const ends = applications.map((shop, index) =>
    Math.max(
      states.get(shop)?.at ?? Number.POSITIVE_INFINITY,
      reports[index]?.lastTargetReadAt ?? 0,
    ),
  );
  facts.rollbackMs = Math.max(...ends) - begun;
  say(
    'good',
    'rollback',
    `dial 0 %: both processes read only the source ${duration(facts.rollbackMs)} after the command`,
  );
  await world.stay(1_500);
}
