import { mkdtempSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrationContext } from '../control/index.ts';
import { type Controller, createController } from '../controller/index.ts';
import { demoProfile, type GateProfile } from '../gates/index.ts';
import { recheckSuspects } from '../verify/index.ts';
import { startWorker, type Worker } from '../worker/index.ts';
import { ApplicationProcess } from './application-process.ts';
import { openShopMigration } from './demo-migration.ts';
import { type LedgerLine, monotonicMs, readLedger } from './ledger.ts';
import { createLegacyShop, createModernShop } from './legacy-shop.ts';
import type { LiveView } from './live-view.ts';
import { noFacts, type StoryFacts } from './proof.ts';
import type { ShopMessage } from './shop-messages.ts';
import { type ShopServers, startShopServers } from './shop-servers.ts';
import { type SourceLatency, watchSourceLatency } from './source-latency.ts';
import { type StoreSnapshot, takeSnapshot } from './store-snapshot.ts';
import type { StoryOptions } from './story-options.ts';
import type { Mark, Terminal } from './terminal.ts';
import { count } from './terminal-style.ts';

export const collection = 'customers';
/** The last customers are left alone by the applications: one of them is made wrong on purpose. */
export const reservedRows = 20;
const applications = 2;
const loopsPerApplication = 6;
const thinkMs = 45;

type StateMessage = Extract<ShopMessage, { readonly type: 'state' }>;

/** Everything that the steps of the story work on. */
export interface StoryWorld {
  readonly options: StoryOptions;
  readonly signal: AbortSignal;
  readonly terminal: Terminal;
  readonly view: LiveView;
  readonly facts: StoryFacts;
  readonly profile: GateProfile;
  readonly servers: ShopServers;
  readonly context: MigrationContext;
  readonly controller: Controller;
  readonly worker: Worker;
  readonly sourceLatency: SourceLatency;
  readonly applications: readonly ApplicationProcess[];
  /** The source before anything began. */
  readonly before: StoreSnapshot;
  /** Newest state that each application process has said to work by, and when. */
  readonly states: ReadonlyMap<ApplicationProcess, StateMessage>;
  say(mark: Mark, topic: string, text: string): void;
  /** Waits, in the pace of the story; ends with the story. */
  stay(ms: number): Promise<void>;
  ledgers(): readonly (readonly LedgerLine[])[];
}

/** What has to be ended at the end, in reverse order of its beginning. */
export class Undertaker {
  readonly #ends: { readonly what: string; readonly end: () => Promise<void> | void }[] = [];

  add(what: string, end: () => Promise<void> | void): void {
    this.#ends.push({ what, end });
  }

  /** Ends everything; what fails is reported and does not stop the rest. Idempotent. */
  async endAll(report: (message: string) => void): Promise<void> {
    for (;;) {
      const next = this.#ends.pop();
      if (!next) return;
      try {
        await next.end();
      } catch (error) {
        report(`${next.what}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}

export interface WorldInput {
  readonly options: StoryOptions;
  readonly signal: AbortSignal;
  readonly terminal: Terminal;
  readonly view: LiveView;
  readonly undertaker: Undertaker;
}

/** Starts servers, fills the shop, opens the migration, starts worker and application processes. */
export async function openWorld(input: WorldInput): Promise<StoryWorld> {
  const { options, signal, terminal, view, undertaker } = input;
  const say = terminal.event.bind(terminal);
  const servers = await startShopServers({ signal });
  undertaker.add('servers', () => servers.stop());
  // Inside the server's own folder, which goes with the server even when we are killed.
  const folder = mkdtempSync(join(dirname(servers.legacy.dataDir), 'demo-'));
  signal.throwIfAborted();
  say(
    'info',
    'servers',
    `two private PostgreSQL ${servers.legacy.version} (${servers.legacy.source}), ports ${servers.legacy.port} and ${servers.modern.port}`,
  );
  const before = await fillShop(servers, options, say);
  signal.throwIfAborted();

  const addresses = { ...servers, controlPath: join(folder, 'control.sqlite') };
  const opened = await openShopMigration(addresses);
  undertaker.add('migration', () => opened.close());
  const context: MigrationContext = opened;
  const sourceLatency = watchSourceLatency(context);
  undertaker.add('source latency', () => sourceLatency.stop());
  const worker = await startWorker(context, {
    label: 'demo worker',
    measureMs: 200,
    backfill: {
      checks: [sourceLatency.check],
      rowsPerSecondMax: Math.max(500, Math.round(options.rows / 8)),
    },
  });
  undertaker.add('worker', () => worker.close());
  undertaker.add('view', view.follow(context.events));
  const states = new Map<ApplicationProcess, StateMessage>();
  const facts = noFacts();
  const shops = createApplications(addresses, folder, input, states, facts);
  for (const shop of shops) undertaker.add(shop.name, () => shop.destroy());

  return {
    options,
    signal,
    terminal,
    view,
    facts,
    profile: demoProfile,
    servers,
    context,
    controller: createController(context, {
      profile: demoProfile,
      drain: (_side, drainSignal) => worker.drain(5_000, drainSignal),
      // Writes are held and everything is drained: what is in doubt can be decided at the first look.
      recheck: (recheckSignal) =>
        recheckSuspects(
          context,
          { currentState: () => worker.state(), ignoreHold: true, recheck: { delaysMs: [0] } },
          recheckSignal,
        ),
    }),
    worker,
    sourceLatency,
    applications: shops,
    before,
    states,
    say,
    stay: (ms) => sleep(ms * options.pace, undefined, { signal }),
    ledgers: () => shops.map((shop) => readLedger(shop.ledgerPath)),
  };
}

async function fillShop(
  servers: ShopServers,
  options: StoryOptions,
  say: Terminal['event'],
): Promise<StoreSnapshot> {
  const begun = monotonicMs();
  await Promise.all([
    createLegacyShop(servers.sourceUrl, { rows: options.rows, seed: options.seed }),
    createModernShop(servers.targetUrl),
  ]);
  const before = await takeSnapshot(servers.sourceUrl, 'source');
  const seconds = ((monotonicMs() - begun) / 1_000).toFixed(1);
  say(
    'info',
    'legacy shop',
    `${count(before.size)} customers in one wide table, made and digested in ${seconds} s`,
  );
  return before;
}

function createApplications(
  addresses: {
    readonly sourceUrl: string;
    readonly targetUrl: string;
    readonly controlPath: string;
  },
  folder: string,
  { options, terminal, view }: WorldInput,
  states: Map<ApplicationProcess, StateMessage>,
  facts: StoryFacts,
): readonly ApplicationProcess[] {
  const shops: ApplicationProcess[] = [];
  let failuresShown = 0;
  const onMessage = (message: ShopMessage, from: ApplicationProcess): void => {
    switch (message.type) {
      case 'rates':
        view.rates(message);
        return;
      case 'state':
        states.set(from, message);
        return;
      case 'token':
        // A token travels like a cookie: another process may be the one that is asked next.
        for (const shop of shops) if (shop !== from) shop.send(message);
        return;
      case 'failed':
        if (failuresShown++ < 5) {
          terminal.event(
            'bad',
            from.name,
            `a ${message.what} failed: ${message.code} ${message.message}`,
          );
        }
        return;
      default:
    }
  };
  for (let index = 0; index < applications; index++) {
    const shop = new ApplicationProcess(
      {
        process: index,
        processes: applications,
        ledgerPath: join(folder, `application-${index + 1}.ledger`),
        sourceUrl: addresses.sourceUrl,
        targetUrl: addresses.targetUrl,
        controlPath: addresses.controlPath,
        rows: options.rows - reservedRows,
        seed: options.seed,
        loops: loopsPerApplication,
        thinkMs,
      },
      onMessage,
      (how) => {
        facts.deaths.push(how);
        terminal.event('bad', 'application', how);
      },
    );
    shops.push(shop);
  }
  return shops;
}

/** Waits until `holds` says yes; throws, naming `what`, after `timeoutMs`. */
export async function until(
  world: Pick<StoryWorld, 'signal'>,
  what: string,
  timeoutMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = monotonicMs() + timeoutMs;
  while (!(await holds())) {
    if (monotonicMs() > deadline) throw new Error(`${what} did not happen within ${timeoutMs} ms`);
    await sleep(25, undefined, { signal: world.signal });
  }
}
