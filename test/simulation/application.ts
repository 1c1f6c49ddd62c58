import { type MemoryForeignWriter, memoryForeignWriter } from '../../src/adapters/memory/index.ts';
import { isChangeoverError, messageOf } from '../../src/errors/index.ts';
import { authorityOf, type Side } from '../../src/migration/index.ts';
import { encodeKey, type LooseRecord } from '../../src/record/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import type { Running, World } from './world.ts';

/** What a client was told about one write. */
interface WriteOutcome {
  readonly collection: string;
  readonly key: string;
  readonly stamp: string | null;
  readonly begun: number;
}

/** A token with what it stands for. */
interface TokenNote {
  readonly token: string;
  readonly collection: string;
  readonly id: string;
  /** Index in the truth's history. */
  readonly index: number;
}

const tokensKept = 12;

/** What all application processes share outside of themselves: cookies of users, notebooks of the judges. */
export class Ledger {
  readonly tokens: TokenNote[] = [];
  readonly rejected: WriteOutcome[] = [];
  stamps = 0;
  writes = 0;
  reads = 0;
  /** Operations that have not ended, of processes that live. */
  busy = new Map<string, number>();
  /** Routing key → lowest dial at which the target served it. */
  readonly dialled = new Map<string, number>();
  /** Since when no read may be served by the target; null: it may. */
  rolledBackAt: number | null = null;

  remember(note: TokenNote): void {
    this.tokens.push(note);
    if (this.tokens.length > tokensKept) this.tokens.shift();
  }
}

/** Short limits: a simulated second has to hold many of them. */
export const routerTimes = {
  leaseMs: 400,
  holdMs: 1_500,
  authorityTimeoutMs: 300,
  followerTimeoutMs: 200,
  graceMs: 250,
  breaker: { failures: 3, openMs: 60 },
  shadow: { concurrency: 4, deadlineMs: 100, flushMs: 200 },
} as const;

/** Opens a router, again until it succeeds, and lets clients work with it. */
export function applicationMain(world: World, ledger: Ledger) {
  return async (running: Running): Promise<void> => {
    const { clock } = running.runtime;
    let router: Router | null = null;
    while (router === null) {
      try {
        router = await createRouter(running.context, routerTimes);
      } catch {
        await clock.sleep(50);
      }
    }
    for (let client = 0; client < world.scenario.clientsEach; client++) {
      void new Client(world, ledger, running, router).work();
    }
  };
}

class Client {
  private readonly world: World;
  private readonly ledger: Ledger;
  private readonly running: Running;
  private readonly router: Router;
  private readonly feeds: Readonly<Record<Side, MemoryForeignWriter>>;

  constructor(world: World, ledger: Ledger, running: Running, router: Router) {
    this.world = world;
    this.ledger = ledger;
    this.running = running;
    this.router = router;
    this.feeds = {
      source: feedWriter(world, running.process.name, 'source', null),
      target: feedWriter(world, running.process.name, 'target', null),
    };
  }

  async work(): Promise<void> {
    const { world, running, ledger } = this;
    const { clock, random } = running.runtime;
    const { name } = running.process;
    while (!world.stopping && !world.violation) {
      await clock.sleep(random.next() * world.scenario.thinkMs);
      ledger.busy.set(name, (ledger.busy.get(name) ?? 0) + 1);
      await this.operate();
      ledger.busy.set(name, (ledger.busy.get(name) ?? 0) - 1);
    }
  }

  private async operate(): Promise<void> {
    const { scenario } = this.world;
    const { random } = this.running.runtime;
    if (random.next() >= scenario.readShare) return this.write();
    if (random.next() < 0.3) return this.probe();
    return this.read();
  }

  private async write(): Promise<void> {
    const { world, ledger } = this;
    const { random } = this.running.runtime;
    const names = world.scenario.feed ? ['items', 'orders', 'feed'] : ['items', 'orders'];
    const collection = names[Math.floor(random.next() * names.length)]!;
    const id = String(Math.floor(random.next() * world.scenario.keys));
    const deletes = random.next() < world.scenario.deleteShare;
    const updates = !deletes && random.next() < 0.3;
    ledger.stamps += 1;
    ledger.writes += 1;
    const stamp = deletes ? null : `w${ledger.stamps}`;
    const write = { collection, key: encodeKey([id]), stamp, begun: world.now };
    this.say(
      `${deletes ? 'delete' : updates ? 'update' : 'put'} ${collection}${write.key} ${stamp}`,
    );
    try {
      if (collection === 'feed') {
        await this.router.write('feed', this.feedClosures(id, stamp));
        this.acknowledged(write, '', false);
      } else {
        const handle = this.router.collection(collection);
        const record = recordOf(collection, id, stamp, random.next());
        const receipt = deletes
          ? await handle.delete(id)
          : updates
            ? await handle.update(id, record)
            : await handle.put(record);
        this.acknowledged(write, receipt.token, receipt.record === null && !deletes);
      }
    } catch (error) {
      this.refused(write, error);
    }
  }

  private feedClosures(id: string, stamp: string | null) {
    const on = (side: Side) => () =>
      stamp === null
        ? this.feeds[side].delete('feed', [id])
        : this.feeds[side].put('feed', [id], { id, body: `b ${stamp}`, stamp });
    return { source: on('source'), target: on('target') };
  }

  /** G1: what was acknowledged is in the authority's history. */
  private acknowledged(write: WriteOutcome, token: string, foundNothing: boolean): void {
    const { world, ledger } = this;
    const { collection, key, stamp, begun } = write;
    this.say(`acknowledged ${collection}${key} ${stamp}`);
    if (foundNothing) return;
    const history = world.truth.historyOf(collection, key);
    if (stamp !== null) {
      const index = world.truth.indexOfStamp(collection, key, stamp);
      if (index < 0) this.violate('G1', write, `acknowledged ${stamp}, which was never committed`);
      else if (token) ledger.remember({ token, collection, id: idOf(key), index });
      return;
    }
    const client = this.running.process.name;
    const index = history.findIndex(
      (entry) => entry.at >= begun && entry.stamp === null && entry.client === client,
    );
    if (index >= 0) {
      if (token) ledger.remember({ token, collection, id: idOf(key), index });
      return;
    }
    if (token) this.violate('G1', write, 'acknowledged a delete that was never committed');
    // What stands in the log may take so long to be seen by others.
    const since = begun - world.scenario.network.surfaceMs;
    const before = history.findLast((entry) => entry.at < since);
    const absent =
      !before ||
      before.text.source === null ||
      history.some((entry) => entry.at >= since && entry.text.source === null);
    if (!absent) this.violate('G1', write, 'acknowledged a delete of a record that stayed there');
  }

  private refused(write: WriteOutcome, error: unknown): void {
    this.say(
      `failed ${write.collection}${write.key} ${write.stamp}: ${messageOf(error).slice(0, 60)}`,
    );
    const known = isChangeoverError(error);
    if (!known || error.code === 'BUG' || error.code === 'CLOSED') {
      this.violate('H', write, `the caller got ${messageOf(error)}`);
      return;
    }
    if (error.code !== 'OUTCOME_UNKNOWN') this.ledger.rejected.push(write);
  }

  /** G6: never older than what the token stands for. */
  private async read(): Promise<void> {
    const { world, ledger } = this;
    const { random } = this.running.runtime;
    const note = ledger.tokens[Math.floor(random.next() * ledger.tokens.length)];
    if (!note) return;
    ledger.reads += 1;
    const { collection, id, index } = note;
    const key = encodeKey([id]);
    const routingKey = world.defect.randomDial ? random.id() : id;
    const token = world.defect.withoutTokens ? undefined : note.token;
    let text: string | null;
    try {
      const record = await this.router.collection(collection).get(id, { routingKey, token });
      text = world.truth.textOf(record);
    } catch (error) {
      if (!isChangeoverError(error) || error.code === 'BUG')
        this.violate('H', { collection, key }, `a reader got ${messageOf(error)}`);
      return;
    }
    const found = world.truth.newestIndexOf(collection, key, 'source', text);
    this.say(`read ${collection}${key} [${found}] with token of [${index}]`);
    if (found >= index) return;
    const failClosed = world.migration.collections.get(collection)!.failureMode === 'fail-closed';
    // The follower may hold what the authority then did not commit, until the intent is settled: said so in the guarantees.
    if (failClosed && (found < 0 || text === null)) return;
    this.violate('G6', { collection, key }, `a reader with a token of [${index}] got [${found}]`);
  }

  /** Which store serves a routing key: only ever more of them as the dial rises, none after a rollback. */
  private async probe(): Promise<void> {
    const { world, ledger } = this;
    const { random } = this.running.runtime;
    const id = `user ${Math.floor(random.next() * 20)}`;
    const routingKey = world.defect.randomDial ? random.id() : id;
    const state = this.router.state();
    const closures = { source: async () => 'source', target: async () => 'target' };
    let served: string;
    try {
      served = await this.router.read('probe', closures, { routingKey });
    } catch {
      return;
    }
    const subject = { collection: 'probe ', key: id };
    const since = ledger.rolledBackAt;
    if (served === 'target' && authorityOf(state.phase) === 'source') {
      const from = Math.max(since ?? 0, world.disturbedUntil.get(this.running.process.name) ?? 0);
      if (since !== null && world.now - from > 1_000)
        this.violate(
          'G7',
          subject,
          `served by the target ${world.now - since} ms after the rollback`,
        );
    }
    if (state.phase !== 'read-switch') return;
    const lowest = ledger.dialled.get(id);
    if (served === 'target') {
      if (lowest === undefined || lowest > state.dialBasisPoints)
        ledger.dialled.set(id, state.dialBasisPoints);
      return;
    }
    if (lowest !== undefined && state.dialBasisPoints >= lowest)
      this.violate(
        'G6',
        subject,
        `left the target at dial ${state.dialBasisPoints}, was on it at ${lowest}`,
      );
  }

  private violate(
    guarantee: Violation['guarantee'],
    of: { readonly collection: string; readonly key: string },
    message: string,
  ): void {
    const { name } = this.running.process;
    this.world.violate(
      new Violation(guarantee, `${of.collection}${of.key}`, `${name}: ${message}`),
    );
  }

  private say(text: string): void {
    this.world.say(`${this.running.process.name} ${text}`);
  }
}

/** Writes to the source for ever, as a program would that nobody has told of the migration. */
export function rogueMain(world: World, ledger: Ledger) {
  return async (running: Running): Promise<void> => {
    const { clock, random } = running.runtime;
    const mark = { kind: 'application', epoch: 1 };
    const writer = feedWriter(world, running.process.name, 'source', mark);
    while (!world.stopping && !world.violation) {
      await clock.sleep(20 + random.next() * 60);
      // It is captured only once the trigger is there; before the start nobody listens.
      const id = String(Math.floor(random.next() * world.scenario.keys));
      ledger.stamps += 1;
      const stamp = `w${ledger.stamps}`;
      await writer.put('feed', [id], { id, body: 'rogue', stamp }).catch(() => {});
    }
  };
}

function feedWriter(
  world: World,
  client: string,
  side: Side,
  mark: { readonly kind: string; readonly epoch: number } | null,
): MemoryForeignWriter {
  const shapes = new Map(
    [...world.migration.collections.values()].map((one) => [one.name, one[side]] as const),
  );
  return memoryForeignWriter({
    database: world.databases[side],
    migration: world.migration.name,
    side,
    shapes,
    client,
    mark,
    timeoutMs: routerTimes.authorityTimeoutMs,
  });
}

function recordOf(
  collection: string,
  id: string,
  stamp: string | null,
  chance: number,
): LooseRecord {
  if (collection === 'items') return { id, name: `n ${stamp}`, stamp };
  const lines = Array.from({ length: Math.floor(chance * 3) }, (_, line) => ({
    line: String(line),
    product: `p ${stamp}`,
  }));
  return chance > 0.8 ? { id, stamp } : { id, city: `c ${stamp}`, stamp, lines };
}

const idOf = (key: string): string => (JSON.parse(key) as readonly string[])[0]!;
