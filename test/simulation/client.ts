import type { MemoryForeignWriter } from '../../src/adapters/memory/index.ts';
import { isChangeoverError, messageOf } from '../../src/errors/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { encodeKey, type LooseRecord } from '../../src/record/index.ts';
import type { Router } from '../../src/router/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import type { Called } from '../support/history-recorder.ts';
import { feedWriter } from './feed-writer.ts';
import type { Ledger, WriteOutcome } from './ledger.ts';
import { Reader } from './reader.ts';
import type { Running, World } from './world.ts';

/** Writes and reads by one router, one after the other, and knows what it may expect. */
export class Client {
  private readonly world: World;
  private readonly ledger: Ledger;
  private readonly running: Running;
  private readonly router: Router;
  private readonly reader: Reader;
  private readonly feeds: Readonly<Record<Side, MemoryForeignWriter>>;

  constructor(world: World, ledger: Ledger, running: Running, router: Router) {
    this.world = world;
    this.ledger = ledger;
    this.running = running;
    this.router = router;
    this.reader = new Reader(world, ledger, running, router);
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
    const dice = random.next();
    if (dice < 0.3) return this.reader.probe();
    return dice < 0.5 ? this.reader.readAny() : this.reader.readWithToken();
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
    const { name } = this.running.process;
    const called =
      collection === 'feed'
        ? null
        : ledger.recorder.call(name, `${collection} ${id}`, stamp, world.now);
    const write = { collection, key: encodeKey([id]), stamp, begun: world.now, called };
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
    const { collection, key, stamp, begun, called } = write;
    const remember = (index: number): void => {
      if (token && called)
        ledger.remember({ token, collection, id: idOf(key), index, write: called.id });
    };
    this.say(`acknowledged ${collection}${key} ${stamp}`);
    if (called) this.record(called, foundNothing);
    if (foundNothing) return;
    const history = world.truth.historyOf(collection, key);
    if (stamp !== null) {
      const index = world.truth.indexOfStamp(collection, key, stamp);
      if (index < 0) this.violate('G1', write, `acknowledged ${stamp}, which was never committed`);
      else remember(index);
      return;
    }
    const client = this.running.process.name;
    const index = history.findIndex(
      (entry) => entry.at >= begun && entry.stamp === null && entry.client === client,
    );
    if (index >= 0) {
      remember(index);
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
    if (error.code === 'OUTCOME_UNKNOWN') return;
    this.ledger.rejected.push(write);
    const { called } = write;
    if (called) this.ledger.recorder.settle(called, 'failed', this.world.now, null);
  }

  private record(called: Called, foundNothing: boolean): void {
    const { recorder } = this.ledger;
    const { epoch } = this.router.state();
    if (foundNothing) recorder.foundNothing(called, this.world.now, epoch);
    else recorder.settle(called, 'ok', this.world.now, epoch);
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
