import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { withClient } from '../../test/support/databases.ts';
import { WholeMigration } from '../../test/support/whole-migration.ts';
import type { ApplicationReport } from './application.ts';
import type { SwitchFigures } from './figures.ts';
import { longestIn, pausesOf, repeat, switchThereAndBack } from './rounds.ts';
import { startWorkerProcess } from './worker.ts';

const applications = 3;
const root = fileURLToPath(new URL('../..', import.meta.url));
const program = fileURLToPath(new URL('application.ts', import.meta.url));
const floorMs = 600;

const config = (source: string, target: string): string => `
import { defineMigration } from '${root}/src/index.ts';
import { postgres } from '${root}/src/adapters/postgres/index.ts';
export default defineMigration({
  name: 'shop',
  source: postgres({ url: ${JSON.stringify(source)} }),
  target: postgres({ url: ${JSON.stringify(target)} }),
  collections: { items: { shadowReadSample: 0.01 } },
  gates: { profile: 'demo' },
});`;

interface Application {
  report(): Promise<ApplicationReport>;
  kill(): void;
}

async function startApplication(folder: string, own: number): Promise<Application> {
  const child = fork(program, [folder, String(own)], {
    execArgv: ['--import', import.meta.resolve('tsx')],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  return {
    async report() {
      const told = once(child, 'message');
      child.send('report');
      const [report] = await told;
      return report as ApplicationReport;
    },
    kill: () => void child.kill('SIGKILL'),
  };
}

/** Application capture: three processes with a router each, two servers that wait for the disk. */
export async function switchRouted(
  times: number,
  say: (line: string) => void,
): Promise<SwitchFigures> {
  const undo: (() => Promise<void> | void)[] = [];
  try {
    const start = async (): Promise<PrivatePostgres> => {
      const server = await startPrivatePostgres({ durable: true });
      undo.push(() => server.stop());
      return server;
    };
    const servers = [await start(), await start()];
    const urls = servers.map((server) => server.url()) as [string, string];
    for (const url of urls)
      await withClient(url, (client) =>
        client.query('CREATE TABLE items (id text PRIMARY KEY, value text NOT NULL)'),
      );
    const whole = new WholeMigration(config(...urls));
    undo.push(() => whole.close());
    await whole.start();
    await whole.toReadSwitch();
    await whole.run('dial', '100');
    const running: Application[] = [];
    for (let at = 0; at < applications; at++) {
      const application = await startApplication(whole.folder, at);
      undo.push(() => application.kill());
      running.push(application);
    }
    await whole.stopWorker();
    undo.push(startWorkerProcess(whole.folder));
    await sleep(3_000);
    const quiet = await repeat(times, () => sleep(floorMs));
    const rounds = await switchThereAndBack(whole.migration, times, say);
    await sleep(1_000);
    const reports = await Promise.all(running.map((one) => one.report()));
    const requests = reports.flatMap((one) => one.requests);
    const failures = reports.flatMap((one) => one.failures);
    say(`${requests.length} requests${failures.length > 0 ? `; ${failures[0]}` : ''}`);
    return {
      failed: failures.length,
      requests: requests.length,
      seenMs: longestIn(rounds, requests),
      pauseMs: pausesOf(rounds),
      floorMs: longestIn(quiet, requests),
    };
  } finally {
    for (const one of undo.reverse()) await one();
  }
}
