import { mkdtempSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { OpenedMigration } from '../../src/config/index.ts';
import { createLegacyShop, createModernShop } from '../../src/demo/legacy-shop.ts';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import type { Side } from '../../src/demo/store-snapshot.ts';
import { type StoreSnapshot, takeSnapshot } from '../../src/demo/store-snapshot.ts';
import { routerDefaults } from '../../src/router/index.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { type ChaosAddresses, openChaosMigration } from './chaos-migration.ts';
import { Child } from './child.ts';
import type { ChildMessage } from './child-messages.ts';
import { rememberGuard } from './guard-history.ts';
import { drainQueues } from './judgement.ts';
import { LedgerWindow } from './ledger-window.ts';
import type { SwitchChaosOptions } from './switch-options.ts';

export type ServerName = Side | 'control';
export type ServerTable<T> = Readonly<Record<ServerName, T>>;

/** Leases are short, because many cells wait for the end of one. */
export const leaseMs = 1_500;
const { authorityTimeoutMs } = routerDefaults;
const applicationCount = 3;
const loops = 4;
const thinkMs = 50;
const readyMs = 180_000;
const quietMs = 60_000;
const prepareMs = 300_000;

/** Three servers, the routers of three processes under load, one worker, and a coordinator whose way to each server is a proxy. */
export interface SwitchWorld {
  readonly options: SwitchChaosOptions;
  readonly addresses: ChaosAddresses;
  readonly servers: ServerTable<PrivatePostgres>;
  /** Between the coordinator and each server; nobody else goes through them. */
  readonly networks: ServerTable<TcpProxy>;
  readonly applications: readonly Child[];
  readonly worker: Child;
  readonly coordinator: Child;
  /** By application. */
  readonly ledgers: readonly LedgerWindow[];
  /** Our own look at the state and the guards, past the proxies. */
  readonly opened: OpenedMigration;
  /** What both stores held when the window of the ledgers began. */
  before: StoreSnapshot;
  /** Things that must not happen, told by the processes; emptied by whoever judges. */
  readonly violations: string[];
  say(topic: string, text: string): void;
  /** The next message of one of these types from that process; rejects after `ms`. */
  next<T extends ChildMessage['type']>(
    from: Child,
    types: readonly T[],
    ms: number,
  ): Promise<Extract<ChildMessage, { readonly type: T }>>;
  /** The applications finish what is in flight, and begin nothing more until they are told. */
  quiet(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts everything and brings the migration to the read switch. Ends what it has begun when it fails. */
export async function openSwitchWorld(
  options: SwitchChaosOptions,
  say: SwitchWorld['say'],
): Promise<SwitchWorld> {
  const closers: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close().catch(() => {});
  };
  try {
    return await fill(options, say, closers, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function fill(
  options: SwitchChaosOptions,
  say: SwitchWorld['say'],
  closers: (() => Promise<unknown>)[],
  stop: () => Promise<void>,
): Promise<SwitchWorld> {
  const settings = { shared_buffers: '64MB', jit: 'off', track_commit_timestamp: 'on' };
  const start = async (): Promise<PrivatePostgres> => {
    const server = await startPrivatePostgres({ settings });
    closers.push(() => server.stop());
    return server;
  };
  const servers = { source: await start(), target: await start(), control: await start() };
  const folder = mkdtempSync(join(dirname(servers.source.dataDir), 'chaos-'));
  const urls = {
    source: await servers.source.createDatabase('legacy_shop'),
    target: await servers.target.createDatabase('modern_shop'),
    control: await servers.control.createDatabase('control'),
  };
  const proxy = async (name: ServerName): Promise<TcpProxy> => {
    const started = await startTcpProxy(servers[name]);
    closers.push(() => started.close());
    return started;
  };
  const networks = {
    source: await proxy('source'),
    target: await proxy('target'),
    control: await proxy('control'),
  };
  const addresses: ChaosAddresses = {
    sourceUrl: urls.source,
    targetUrl: urls.target,
    controlUrl: urls.control,
    controlPath: '',
    mode: options.mode,
  };
  await createLegacyShop(urls.source, { rows: options.rows, seed: options.seed });
  await createModernShop(urls.target);
  const crew = new Crew(options, addresses, networks, folder, say);
  closers.push(() => Promise.all(crew.all().map((child) => child.destroy())));
  const opened = await openChaosMigration(addresses);
  closers.push(() => opened.close());
  await crew.start();
  for (const side of ['source', 'target'] as const) await rememberGuard(urls[side], side);
  await crew.quiet();
  await drainQueues(addresses);
  // Everything before is not ours to judge.
  const before = await takeSnapshot(urls.source, 'source');
  const { applications, worker, coordinator, ledgers, violations } = crew;
  for (const ledger of ledgers) ledger.moveOn();
  const next: SwitchWorld['next'] = (from, types, ms) => crew.next(from, types, ms);
  const quiet = (): Promise<void> => crew.quiet();
  return {
    ...{ options, addresses, servers, networks, applications, worker, coordinator, ledgers },
    ...{ opened, before, violations, say, next, quiet, stop },
  };
}

type Listener = (message: ChildMessage, from: Child) => void;

/** The processes, and what they say. */
class Crew {
  readonly applications: readonly Child[];
  readonly worker: Child;
  readonly coordinator: Child;
  readonly ledgers: readonly LedgerWindow[];
  readonly violations: string[] = [];
  readonly #say: SwitchWorld['say'];
  readonly #listeners = new Set<Listener>();

  constructor(
    options: SwitchChaosOptions,
    addresses: ChaosAddresses,
    networks: ServerTable<TcpProxy>,
    folder: string,
    say: SwitchWorld['say'],
  ) {
    this.#say = say;
    const { rows, seed, capture } = options;
    const direct = capture === 'log';
    const numbers = Array.from({ length: applicationCount }, (_, index) => index);
    const named = (index: number): string => `application-${index + 1}`;
    this.ledgers = numbers.map((index) => new LedgerWindow(join(folder, `${named(index)}.ledger`)));
    this.applications = numbers.map((index) =>
      this.#child(`application ${index + 1}`, './application.ts', (incarnation) => ({
        ...{
          ...addresses,
          incarnation,
          rows,
          seed,
          loops,
          thinkMs,
          leaseMs,
          authorityTimeoutMs,
          direct,
        },
        process: index,
        processes: applicationCount,
        ledgerPath: join(folder, `${named(index)}.ledger`),
        stateFile: join(folder, `${named(index)}.state`),
      })),
    );
    this.worker = this.#child('worker', './worker.ts', () => ({
      ...addresses,
      rowsPerSecondMax: rows,
    }));
    const throughProxies: ChaosAddresses = {
      ...addresses,
      sourceUrl: networks.source.url(addresses.sourceUrl),
      targetUrl: networks.target.url(addresses.targetUrl),
      controlUrl: networks.control.url(addresses.controlUrl ?? ''),
    };
    this.coordinator = this.#child('coordinator', './switch-coordinator.ts', () => ({
      ...{ ...throughProxies, seed, leaseMs, direct },
    }));
  }

  all(): readonly Child[] {
    return [...this.applications, this.worker, this.coordinator];
  }

  /** Everything runs, and the migration is in the read switch. */
  async start(): Promise<void> {
    const ready = this.all().map((child) => this.next(child, ['ready'], readyMs));
    for (const child of this.all()) child.start();
    await Promise.all(ready);
    const prepared = this.next(this.coordinator, ['prepared'], prepareMs);
    this.coordinator.send({ type: 'prepare' });
    await prepared;
  }

  async quiet(): Promise<void> {
    const quiet = this.applications.map((child) => this.next(child, ['quiet'], quietMs));
    for (const child of this.applications) child.send({ type: 'pause' });
    await Promise.all(quiet);
  }

  next<T extends ChildMessage['type']>(
    from: Child,
    types: readonly T[],
    ms: number,
  ): Promise<Extract<ChildMessage, { readonly type: T }>> {
    return new Promise((resolve, reject) => {
      const listener: Listener = (message, sender) => {
        if (sender !== from || !isOneOf(message, types)) return;
        end();
        resolve(message);
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`${from.name} did not say "${types.join('" or "')}" within ${ms} ms`));
      }, ms);
      const end = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
      };
      this.#listeners.add(listener);
    });
  }

  #child(name: string, program: string, options: (incarnation: number) => object): Child {
    return new Child(name, program, options, {
      message: (message, from) => this.#hear(message, from),
      died: (how, from) => this.violations.push(`${from.name} ended by itself (${how})`),
    });
  }

  #hear(message: ChildMessage, from: Child): void {
    for (const listener of [...this.#listeners]) listener(message, from);
    if (message.type === 'token')
      for (const one of this.applications) if (one !== from) one.send(message);
    if (message.type === 'violation') this.violations.push(message.text);
    if (message.type === 'did') this.#say(from.name, `${message.what}  [${message.phase}]`);
    if (process.env['CHAOS_TRACE'] && (message.type === 'note' || message.type === 'failed'))
      this.#say(from.name, JSON.stringify(message).slice(0, 400));
  }
}

function isOneOf<T extends ChildMessage['type']>(
  message: ChildMessage,
  types: readonly T[],
): message is Extract<ChildMessage, { readonly type: T }> {
  return types.some((type) => type === message.type);
}
