import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { bankAnswers } from '../../test/support/bank.ts';
import {
  makePooledBank,
  pooledBankConfig,
  pooledBankFacts,
  startTraffic,
} from '../../test/support/pooled-bank.ts';
import { hasPgBouncer, startPrivatePgBouncer } from '../../test/support/private-pgbouncer.ts';
import { WholeMigration } from '../../test/support/whole-migration.ts';
import type { SwitchFigures } from './figures.ts';
import { longestIn, pausesOf, repeat, switchThereAndBack } from './rounds.ts';
import { startWorkerProcess } from './worker.ts';

const database = 'bank';
const scale = 10;
const equalMs = 60_000;

/** Log capture: pgbench through a PgBouncer, two servers that wait for the disk. */
export async function switchPooled(
  times: number,
  say: (line: string) => void,
): Promise<SwitchFigures> {
  if (!hasPgBouncer()) throw new Error('PgBouncer is not installed');
  const settings = { wal_level: 'logical', shared_buffers: '256MB' };
  const options = { source: 'system', durable: true, settings } as const;
  const undo: (() => Promise<void>)[] = [];
  try {
    const start = async (): Promise<PrivatePostgres> => {
      const server = await startPrivatePostgres(options);
      undo.push(() => server.stop());
      return server;
    };
    const [source, target] = [await start(), await start()];
    const urls = [await source.createDatabase(database), await target.createDatabase(database)];
    const [sourceUrl, targetUrl] = urls as [string, string];
    const pgbench = join(source.binDir, 'pgbench');
    await makePooledBank(pgbench, sourceUrl, targetUrl, scale);
    const line = ({ host, port }: PrivatePostgres): string =>
      `host=${host} port=${port} dbname=${database}`;
    const bouncer = await startPrivatePgBouncer({ databases: `bank = ${line(source)}` });
    undo.push(() => bouncer.stop());
    const hook = {
      admin: bouncer.admin(),
      file: bouncer.file,
      databases: { bank: { source: line(source), target: line(target) } },
      login: { user: 'postgres' },
    };
    const text = pooledBankConfig(sourceUrl, targetUrl, `pgbouncer(${JSON.stringify(hook)})`);
    const whole = new WholeMigration(text);
    undo.push(() => whole.close());
    await whole.start();
    await whole.toReadSwitch();
    await whole.run('dial', '100');
    await whole.stopWorker();
    undo.push(startWorkerProcess(whole.folder));
    await sleep(3_000);
    const traffic = startTraffic(pgbench, bouncer.url('bank'), {
      rate: Number(process.env['BENCH_RATE'] ?? 0),
    });
    undo.push(async () => void (await traffic.stop()));
    await sleep(2_000);
    const { traffic: hooks = [] } = whole.migration;
    const empty = await repeat(times, async () => {
      for (const one of hooks) await one.hold(2_000);
      for (const one of hooks) await one.release('source');
    });
    const rounds = await switchThereAndBack(whole.migration, times, say);
    await sleep(1_000);
    const { failed, exitCode, output, transactions } = await traffic.stop();
    if (exitCode !== 0 || transactions.length === 0) throw new Error(`pgbench said: ${output}`);
    say(`${transactions.length} transactions; ${/tps = [\d.]+/.exec(output)?.[0]}`);
    await equal(sourceUrl, targetUrl);
    return {
      failed,
      requests: transactions.length,
      seenMs: longestIn(rounds, transactions),
      pauseMs: pausesOf(rounds),
      floorMs: longestIn(empty, transactions),
    };
  } finally {
    for (const one of undo.reverse()) await one();
  }
}

async function equal(source: string, target: string): Promise<void> {
  for (const until = Date.now() + equalMs; ; await sleep(500)) {
    const [one, other] = [
      await bankAnswers(source, pooledBankFacts),
      await bankAnswers(target, pooledBankFacts),
    ];
    if (JSON.stringify(one) === JSON.stringify(other)) return;
    if (Date.now() > until) throw new Error(`the stores differ: ${one} and ${other}`);
  }
}
