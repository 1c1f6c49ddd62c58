import { isChangeoverError, messageOf } from '../../src/errors/index.ts';
import { authorityOf } from '../../src/migration/index.ts';
import { type DataRecord, encodeKey } from '../../src/record/index.ts';
import type { Router } from '../../src/router/index.ts';
import { routeOf } from '../../src/testing/history/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import type { Ledger, TokenNote } from './ledger.ts';
import type { Running, World } from './world.ts';

/** The reads of one client. */
export class Reader {
  private readonly world: World;
  private readonly ledger: Ledger;
  private readonly running: Running;
  private readonly router: Router;

  constructor(world: World, ledger: Ledger, running: Running, router: Router) {
    this.world = world;
    this.ledger = ledger;
    this.running = running;
    this.router = router;
  }

  /** A record by its key, noted for `checkHistory`; undefined: it failed. */
  private async readRecord(
    collection: string,
    id: string,
    note: TokenNote | null,
    options: { readonly routingKey: string; readonly token?: string | undefined },
  ): Promise<DataRecord | null | undefined> {
    const { world, ledger, router } = this;
    const [before, from] = [router.state(), world.now];
    ledger.reads += 1;
    try {
      const record = await router.collection(collection).get(id, options);
      const after = router.state();
      const stamp = record?.['stamp'];
      ledger.recorder.read({
        key: `${collection} ${id}`,
        value: typeof stamp === 'string' ? stamp : null,
        process: this.running.process.name,
        from,
        to: world.now,
        token: note?.write ?? null,
        route: routeOf(before, after),
        epoch: after.epoch,
      });
      return record;
    } catch (error) {
      if (!isChangeoverError(error) || error.code === 'BUG')
        this.violate('H', { collection, key: encodeKey([id]) }, `a reader got ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Without a token: what may be older is judged from the history as a whole. */
  async readAny(): Promise<void> {
    const { random } = this.running.runtime;
    const collection = random.next() < 0.5 ? 'items' : 'orders';
    const id = String(Math.floor(random.next() * this.world.scenario.keys));
    await this.readRecord(collection, id, null, { routingKey: id });
  }

  /** G6: never older than what the token stands for. */
  async readWithToken(): Promise<void> {
    const { world, ledger } = this;
    const { random } = this.running.runtime;
    const note = ledger.tokens[Math.floor(random.next() * ledger.tokens.length)];
    if (!note) return;
    const { collection, id, index } = note;
    const key = encodeKey([id]);
    const routingKey = world.defect.randomDial ? random.id() : id;
    const token = world.defect.withoutTokens ? undefined : note.token;
    const record = await this.readRecord(collection, id, note, { routingKey, token });
    if (record === undefined) return;
    const text = world.truth.textOf(record);
    const found = world.truth.newestIndexOf(collection, key, 'source', text);
    this.say(`read ${collection}${key} [${found}] with token of [${index}]`);
    if (found >= index) return;
    const failClosed = world.migration.collections.get(collection)!.failureMode === 'fail-closed';
    // The follower may hold what the authority then did not commit, until the intent is settled: said so in the guarantees.
    if (failClosed && (found < 0 || text === null)) return;
    this.violate('G6', { collection, key }, `a reader with a token of [${index}] got [${found}]`);
  }

  /** Which store serves a routing key: only ever more of them as the dial rises, none after a rollback. */
  async probe(): Promise<void> {
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
