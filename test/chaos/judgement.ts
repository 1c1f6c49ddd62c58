import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { caughtUp } from '../../src/capture/index.ts';
import { type countRequests, historyOf, longestWriteMs } from '../../src/demo/judge.ts';
import { takeSnapshot } from '../../src/demo/store-snapshot.ts';
import { sabotage } from '../../src/demo/story-sabotage.ts';
import type { HistoryVerdict } from '../../src/testing/history/index.ts';
import { type ChaosAddresses, openChaosMigration } from './chaos-migration.ts';
import type { ChaosWorld } from './chaos-world.ts';
import { examine } from './examination.ts';

export interface ChaosResult {
  readonly ok: boolean;
  readonly lines: readonly string[];
}

const drainMs = 60_000;
const shown = 12;

/** Ends the applications, lets the queues run empty, ends the rest, and judges both stores and all ledgers. */
export async function judgeChaos(world: ChaosWorld): Promise<ChaosResult> {
  const { applications, workers, operator, addresses, options, report, before } = world;
  const inOrder = await Promise.all(
    [operator, ...applications].map(async (child) => ((await child.stop()) ? [] : [child.name])),
  );
  const hung = inOrder.flat().map((name) => `${name} did not end in order`);
  const drained = await drainQueues(addresses);
  await Promise.all(workers.map((child) => child.stop()));
  const ledgers = world.ledgers();
  if (options.sabotage !== null)
    await sabotage(addresses.targetUrl, options.sabotage, historyOf(ledgers));
  const [source, target] = await Promise.all([
    takeSnapshot(addresses.sourceUrl, 'source'),
    takeSnapshot(addresses.targetUrl, 'target'),
  ]);
  const stores = { source, target };
  const { requests, reads, versioned, authority, faults, order, count } = examine(
    before,
    ledgers,
    stores,
    options.mode === 'fail-closed',
  );
  const checks: readonly (readonly [string, number, string])[] = [
    ['lost', count('lost'), 'acknowledged, and missing from a store'],
    ['differing', count('differing'), 'between ledger, source and target'],
    ['resurrected', count('resurrected'), 'deleted, and back again'],
    ['two authorities', authority.length, `${versioned.length} acknowledged writes with a version`],
    ['stale reads', reads.stale, `of ${reads.tokensChecked} with a token`],
    ['wrong reads', reads.wrong, `of ${requests.reads}`],
    ['no order', order.faults.length, describeOrder(order)],
    ['not drained', drained, `changes left in the queues, dead letters among them`],
    ['violations', report.violations.length + hung.length, 'seen on the way'],
    ['nothing done', requests.acknowledgedWrites === 0 ? 1 : 0, ''],
  ];
  const ok = checks.every(([, number]) => number === 0);
  const kept = ok || options.sabotage !== null ? [] : [`    ledgers: ${keepLedgers(world)}`];
  return {
    ok,
    lines: [
      ...table(world, requests, longestWriteMs(ledgers)),
      '',
      ...checks.map(
        ([name, number, words]) =>
          `  ${number === 0 ? '✓' : '✗'} ${name.padEnd(16)} ${String(number).padStart(6)}   ${words}`,
      ),
      ...[...faults, ...authority, ...report.violations, ...hung]
        .slice(0, shown)
        .map((text) => `    ${text}`),
      ...kept,
    ],
  };
}

const describeOrder = ({ keys, reads }: HistoryVerdict): string =>
  `of ${keys} keys, for ${reads.linearizable} reads from the authority, ${reads.token} with a token, ${reads.written} others`;

/** Out of the folder that goes with the servers. */
function keepLedgers({ ledgers, options }: ChaosWorld): string {
  const folder = mkdtempSync(join(tmpdir(), `chaos-${options.seed}-`));
  for (const [index, lines] of ledgers().entries())
    writeFileSync(
      join(folder, `application-${index + 1}.ledger`),
      lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
    );
  return folder;
}

function table(
  { report, options }: ChaosWorld,
  requests: ReturnType<typeof countRequests>,
  longestMs: number,
): readonly string[] {
  const list = (counts: ReadonlyMap<string, number>): string =>
    [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, number]) => `${what} ${number}`)
      .join(', ') || 'none';
  return [
    `  seed ${options.seed}, writes ${options.mode}, control store in ${options.control}`,
    `  faults      ${list(report.faults)}`,
    `  operator    ${list(report.deeds)}`,
    `  reached     epoch ${report.epoch}, generation ${report.generation}`,
    `  writes      ${requests.acknowledgedWrites} acknowledged, ${requests.interruptedWrites} cut off by a kill; longest ${Math.round(longestMs)} ms`,
    `  reads       ${requests.reads}, ${requests.tokenReads} with a token`,
    `  failed      ${requests.failedRequests}: ${list(report.failures)}`,
  ];
}

/** Waits until our own look into the queue tables finds nothing; what is left after that. */
export async function drainQueues(addresses: ChaosAddresses): Promise<number> {
  if (addresses.mode === 'log' && !(await logIsApplied(addresses))) return Number.NaN;
  const until = performance.now() + drainMs;
  for (;;) {
    const left =
      (await waiting(addresses.sourceUrl, 'source')) +
      (await waiting(addresses.targetUrl, 'target'));
    if (left === 0 || performance.now() > until) return left;
    await sleep(100);
  }
}

/** What the follower refuses of the log goes to the queue: so the log comes first. */
async function logIsApplied(addresses: ChaosAddresses): Promise<boolean> {
  const opened = await openChaosMigration(addresses);
  try {
    const state = await opened.control.load(opened.migration.name);
    return await caughtUp(opened, state, drainMs);
  } finally {
    await opened.close();
  }
}

async function waiting(url: string, side: 'source' | 'target'): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ n: string }>(
      `SELECT count(*)::text AS n FROM changeover_shop_${side}.queue`,
    );
    return Number(rows[0]?.n);
  } finally {
    await client.end();
  }
}
