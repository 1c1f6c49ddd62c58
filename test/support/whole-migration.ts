import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  loadConfig,
  type OpenedMigration,
  openMigration,
  workerOptionsOf,
} from '../../src/config/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { type CliJson, cli, cliJson } from './cli.ts';

/** The gates that stay closed where no router reads. */
export const nobodyReads = ['shadow-read-parity', 'coverage', 'latency-ratio'];

/** A migration that is moved by command lines, with a worker in this process: for tests that go the whole way. */
export class WholeMigration {
  readonly folder: string;
  readonly problems: string[] = [];
  #opened: OpenedMigration | null = null;
  #worker: Worker | null = null;

  /** `config`: the text of `changeover.config.mts`. */
  constructor(config: string) {
    this.folder = mkdtempSync(join(tmpdir(), 'changeover-whole-'));
    writeFileSync(join(this.folder, 'changeover.config.mts'), config);
  }

  get migration(): OpenedMigration {
    if (this.#opened === null) throw new Error('start() comes first');
    return this.#opened;
  }

  /** `changeover check`; then `changeover start` and a worker. */
  async start(...flags: readonly string[]): Promise<void> {
    await this.run('start', ...flags);
    await this.reopen();
  }

  /** As a new process would: nothing of the old one is remembered. */
  async reopen(): Promise<void> {
    await this.stopWorker();
    await this.#opened?.close();
    const { definition } = await loadConfig(this.folder);
    this.#opened = await openMigration(definition, { folder: this.folder });
    await this.startWorker();
  }

  async startWorker(): Promise<void> {
    const { migration } = this;
    const options = workerOptionsOf(migration.options, migration, 'worker');
    this.#worker = await startWorker(migration, {
      ...options,
      onError: (task, message) => this.problems.push(`${task}: ${message}`),
    });
  }

  async stopWorker(): Promise<void> {
    await this.#worker?.close();
    this.#worker = null;
  }

  /** A command that has to end well. */
  async run(...argv: readonly string[]): Promise<CliJson> {
    const { code, json, stderr } = await cliJson(this.folder, ...argv);
    if (code !== 0)
      throw new Error(
        `changeover ${argv.join(' ')} ended with ${code}: ${JSON.stringify(json)} ${stderr}\nworker: ${this.problems.slice(-5).join('\n')}`,
      );
    return json;
  }

  /** Advances as soon as all gates but `override` pass. */
  async advance(override: readonly string[] = [], timeoutMs = 60_000): Promise<void> {
    for (const until = Date.now() + timeoutMs; ; await sleep(200)) {
      const { json } = await cliJson(this.folder, 'plan');
      const gates = (json.data['gates'] ?? []) as { gate: string; verdict: string }[];
      const closed = gates.filter(({ verdict }) => verdict !== 'pass');
      if (closed.every(({ gate }) => override.includes(gate))) {
        const flags = closed.flatMap(({ gate }) => ['--override', gate]);
        const to = String(json.data['to']);
        const verb = to === 'write-switch' ? 'switch-writes' : 'advance';
        await this.run(verb, '--yes', '--reason', 'in a test', ...flags);
        return;
      }
      if (Date.now() > until)
        throw new Error(
          `never open: ${JSON.stringify(closed)}\nworker: ${this.problems.join('\n')}`,
        );
    }
  }

  /** From `dual-write` to `read-switch`: everything is copied and compared. */
  async toReadSwitch(timeoutMs = 120_000): Promise<void> {
    await this.advance([], timeoutMs);
    await this.advance([], timeoutMs);
    await this.run('verify');
    await this.advance(nobodyReads, timeoutMs);
  }

  status(): Promise<string> {
    return cli(this.folder, 'status').then(({ stdout }) => stdout);
  }

  async close(): Promise<void> {
    await this.stopWorker();
    await this.#opened?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
