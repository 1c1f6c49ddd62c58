import { mkdtempSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cutoverSteps } from '../../src/cutover/index.ts';
import type { LedgerLine } from '../../src/demo/ledger.ts';
import { readLedger } from '../../src/demo/ledger.ts';
import { createLegacyShop, createModernShop } from '../../src/demo/legacy-shop.ts';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { type StoreSnapshot, takeSnapshot } from '../../src/demo/store-snapshot.ts';
import { type Random, seededRandom } from '../../src/runtime/index.ts';
import type { ChaosAddresses } from './chaos-migration.ts';
import type { ChaosOptions } from './chaos-options.ts';
import { Child } from './child.ts';
import type { ChildMessage } from './child-messages.ts';
import type { OperatorFate } from './operator.ts';

const applicationCount = 3;
const workerCount = 2;
const loops = 4;
const thinkMs = 60;
/** An operator whose fate is sealed dies or sleeps in its first change of authority. */
const doomed = 0.55;
const frozen = 0.4;
const operatorFreezeMs = 5_000;
/** No process may die so often by itself. */
const deathsMax = 40;

/** Everything that is running. */
export interface ChaosWorld {
  readonly options: ChaosOptions;
  readonly addresses: ChaosAddresses;
  readonly servers: {
    readonly source: PrivatePostgres;
    readonly target: PrivatePostgres;
    readonly control: PrivatePostgres | null;
  };
  readonly applications: readonly Child[];
  readonly workers: readonly Child[];
  readonly operator: Child;
  readonly before: StoreSnapshot;
  readonly report: ChaosReport;
  say(topic: string, text: string): void;
  ledgers(): readonly (readonly LedgerLine[])[];
  /** Tells the operator to bring it to an end, and waits for that. */
  finish(timeoutMs: number): Promise<boolean>;
  stop(): Promise<void>;
}

/** What is counted while it runs. */
export interface ChaosReport {
  readonly violations: string[];
  /** Fault kind → how often. */
  readonly faults: Map<string, number>;
  /** Error code → how many requests of the applications. */
  readonly failures: Map<string, number>;
  /** What the operator did → how often. */
  readonly deeds: Map<string, number>;
  epoch: number;
  generation: number;
}

/** Ends what it has begun when it fails. */
export async function openChaosWorld(
  options: ChaosOptions,
  say: (topic: string, text: string) => void,
): Promise<ChaosWorld> {
  const servers = await Promise.allSettled(
    (options.control === 'postgres' ? ['source', 'target', 'control'] : ['source', 'target']).map(
      () => startPrivatePostgres({ settings: { shared_buffers: '64MB', jit: 'off' } }),
    ),
  );
  const running = servers.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const stopServers = async (): Promise<void> => {
    await Promise.all(running.map((server) => server.stop()));
  };
  try {
    for (const one of servers) if (one.status === 'rejected') throw one.reason;
    const [source, target, control = null] = running as [PrivatePostgres, PrivatePostgres];
    return await fillWorld(options, say, { source, target, control }, stopServers);
  } catch (error) {
    await stopServers();
    throw error;
  }
}

async function fillWorld(
  options: ChaosOptions,
  say: ChaosWorld['say'],
  servers: ChaosWorld['servers'],
  stopServers: () => Promise<void>,
): Promise<ChaosWorld> {
  const { source, target, control } = servers;
  // Inside the server's own folder, which goes with the server even when we are killed.
  const folder = mkdtempSync(join(dirname(source.dataDir), 'chaos-'));
  const addresses: ChaosAddresses = {
    sourceUrl: await source.createDatabase('legacy_shop'),
    targetUrl: await target.createDatabase('modern_shop'),
    controlUrl: control === null ? null : await control.createDatabase('control'),
    controlPath: join(folder, 'control.sqlite'),
    mode: options.mode,
  };
  await createLegacyShop(addresses.sourceUrl, { rows: options.rows, seed: options.seed });
  await createModernShop(addresses.targetUrl);
  const before = await takeSnapshot(addresses.sourceUrl, 'source');
  const report: ChaosReport = {
    violations: [],
    faults: new Map(),
    failures: new Map(),
    deeds: new Map(),
    epoch: 1,
    generation: 1,
  };
  const members = new Members(options, addresses, folder, report, say);
  return {
    options,
    addresses,
    servers,
    ...members,
    before,
    report,
    say,
    ledgers: () => members.ledgerPaths.map(readLedger),
    finish: (timeoutMs) => members.finish(timeoutMs),
    async stop() {
      await Promise.all(members.all().map((child) => child.destroy()));
      await stopServers();
    },
  };
}

/** The processes, and what they say. */
class Members {
  readonly applications: readonly Child[];
  readonly workers: readonly Child[];
  readonly operator: Child;
  readonly ledgerPaths: readonly string[];
  readonly #report: ChaosReport;
  readonly #say: ChaosWorld['say'];
  readonly #deaths = new Map<string, number>();
  readonly #random: Random;
  readonly #switches: number;
  #finish = false;
  #finished: () => void = () => {};

  constructor(
    options: ChaosOptions,
    addresses: ChaosAddresses,
    folder: string,
    report: ChaosReport,
    say: ChaosWorld['say'],
  ) {
    this.#report = report;
    this.#say = say;
    this.#random = seededRandom(options.seed + 7);
    this.#switches = options.switches;
    const events = {
      message: (message: ChildMessage, from: Child) => this.#hear(message, from),
      died: (how: string, from: Child) => this.#died(how, from),
    };
    const numbers = Array.from({ length: applicationCount }, (_, index) => index);
    this.ledgerPaths = numbers.map((index) => join(folder, `application-${index + 1}.ledger`));
    this.applications = numbers.map(
      (index) =>
        new Child(
          `application ${index + 1}`,
          './application.ts',
          (incarnation) => ({
            ...addresses,
            process: index,
            processes: applicationCount,
            incarnation,
            ledgerPath: this.ledgerPaths[index],
            stateFile: join(folder, `application-${index + 1}.state`),
            rows: options.rows,
            seed: options.seed,
            loops,
            thinkMs,
          }),
          events,
        ),
    );
    this.workers = Array.from(
      { length: workerCount },
      (_, index) =>
        new Child(
          `worker ${index + 1}`,
          './worker.ts',
          () => ({ ...addresses, rowsPerSecondMax: Math.ceil(options.rows / 5) }),
          events,
        ),
    );
    const operatorOptions = (incarnation: number): object => ({
      ...addresses,
      seed: options.seed,
      incarnation,
      switches: options.switches,
      finish: this.#finish,
      fate: this.#drawFate(options.only),
    });
    this.operator = new Child('operator', './operator.ts', operatorOptions, events);
  }

  all(): readonly Child[] {
    return [...this.applications, ...this.workers, this.operator];
  }

  finish(timeoutMs: number): Promise<boolean> {
    this.#finish = true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.#finished = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.operator.send({ type: 'finish' });
    });
  }

  #drawFate(only: readonly string[]): OperatorFate | null {
    const [dice, which, where] = [this.#random.next(), this.#random.next(), this.#random.next()];
    const wanted = only.length === 0 || only.includes('operator-in-switch');
    if (this.#finish || !wanted || this.#switches === 0 || dice >= doomed) return null;
    const step = cutoverSteps[Math.floor(where * cutoverSteps.length)] ?? 'commit';
    return { step, fate: which < frozen ? 'freeze' : 'kill' };
  }

  #hear(message: ChildMessage, from: Child): void {
    const { failures, violations, deeds, faults } = this.#report;
    switch (message.type) {
      case 'token':
        for (const one of this.applications) if (one !== from) one.send(message);
        return;
      case 'failed':
        count(failures, `${message.what} ${message.code}`);
        if (process.env['CHAOS_TRACE'])
          this.#say(from.name, `${message.what} failed: ${message.code} ${message.message}`);
        return;
      case 'note':
        if (process.env['CHAOS_TRACE'] || from === this.operator)
          this.#say(from.name, message.text.slice(0, 240));
        return;
      case 'violation':
        violations.push(message.text);
        this.#say('VIOLATION', message.text);
        return;
      case 'did':
        this.#report.epoch = message.epoch;
        this.#report.generation = message.generation;
        count(deeds, message.what.replace(/ ?\d.*$/, ''));
        this.#say(
          'operator',
          `${message.what}  [${message.phase}, epoch ${message.epoch}, generation ${message.generation}]`,
        );
        return;
      case 'fate':
        count(faults, `operator-in-switch: ${message.fate}`);
        this.#say('fault', `operator-in-switch: ${message.fate} before step "${message.step}"`);
        if (message.fate === 'freeze') void from.thawAfter(operatorFreezeMs);
        return;
      case 'finished':
        this.#finished();
        return;
      default:
    }
  }

  #died(how: string, from: Child): void {
    const deaths = (this.#deaths.get(from.name) ?? 0) + 1;
    this.#deaths.set(from.name, deaths);
    // The operator kills itself where it was told to; everybody else has no reason to end.
    if (from === this.operator && how === 'SIGKILL') return;
    const text = `${from.name} ended by itself (${how})`;
    this.#say('VIOLATION', text);
    if (deaths < deathsMax) this.#report.violations.push(text);
  }
}

export function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}
