/**
 * What the application does all day: several loops, each with keys of its own (so that the last value of each is known exactly), and one
 * loop with keys that the other process writes as well (so that two writers of one key are raced).
 *
 * A key whose outcome is unknown is never touched again: then "either as before or as after" stays exact.
 */
import { ChangeoverError } from '../errors/index.ts';
import type { CollectionHandle } from '../router/index.ts';
import type { Random } from '../runtime/index.ts';
import { digestOfCustomer } from './canonical-customer.ts';
import {
  type Ledger,
  type LedgerLine,
  monotonicMs,
  type Seen,
  type WriteAction,
} from './ledger.ts';
import { choose, inventChange, inventCustomer, toLegacyCustomer, whole } from './shop-customers.ts';
import type { ShopApplicationOptions } from './shop-messages.ts';
import type { LegacyCustomer } from './shop-schema.ts';

/** Keys from here on were created by the application; below are those of the legacy shop. */
const createdFrom = 10_000_000;
const sharedFrom = 20_000_000;
const sharedKeys = 24;
const hotKeysPerLoop = 24;

/** True for keys that several processes write. */
export function isShared(id: string): boolean {
  return Number(id) >= sharedFrom;
}

/** What this process knows about a key of its own. */
interface Known {
  /** null: deleted. */
  readonly row: LegacyCustomer | null;
  readonly op: string | null;
  readonly token: string | null;
}

export interface WorkloadEvents {
  /** A write was acknowledged; `token` may be presented by anybody. */
  readonly acknowledged: (id: string, op: string, token: string | null, ms: number) => void;
  readonly read: () => void;
  readonly failed: (what: string, error: unknown) => void;
  /** Called with the write that is about to be sent, and runs it: the place to remember what is in flight. */
  readonly sending: <T>(id: string, op: string, send: () => Promise<T>) => Promise<T>;
  /** Called before a request is sent; what it returns, after the answer: for the ledger. */
  readonly watching?: () => () => Seen;
}

export class ShopWorkload {
  readonly #options: ShopApplicationOptions;
  readonly #customers: CollectionHandle;
  readonly #ledger: Ledger;
  readonly #random: Random;
  readonly #events: WorkloadEvents;
  readonly #known = new Map<string, Known>();
  readonly #untouchable = new Set<string>();
  readonly #deleted: string[][];
  readonly #hot: string[][];
  #sequence = 0;
  #created = 0;

  constructor(
    options: ShopApplicationOptions,
    customers: CollectionHandle,
    ledger: Ledger,
    random: Random,
    events: WorkloadEvents,
  ) {
    this.#options = options;
    this.#customers = customers;
    this.#ledger = ledger;
    this.#random = random;
    this.#events = events;
    const loops = Array.from({ length: options.loops }, (_, loop) => loop);
    this.#hot = loops.map((loop) =>
      Array.from({ length: hotKeysPerLoop }, () => this.#existingKey(loop)),
    );
    this.#deleted = loops.map(() => []);
  }

  /** Takes up what an earlier incarnation wrote down. Writes without an answer make their keys untouchable. */
  recall(lines: readonly LedgerLine[]): void {
    const open = new Map<string, { readonly id: string; readonly after: LegacyCustomer | null }>();
    for (const line of lines) {
      if (line.t === 'intent') {
        open.set(line.op, line);
        const number = Number(line.id);
        if (number >= createdFrom && !isShared(line.id)) this.#created++;
      }
      if (line.t === 'rejected') open.delete(line.op);
      if (line.t !== 'ack') continue;
      const write = open.get(line.op);
      open.delete(line.op);
      if (write) this.#known.set(write.id, { row: write.after, op: line.op, token: line.token });
    }
    for (const { id } of open.values()) if (!isShared(id)) this.#untouchable.add(id);
  }

  /** One request of a loop with keys of its own. Never throws: failures are written down. */
  async ownStep(loop: number): Promise<void> {
    const dice = this.#random.next();
    if (dice < 0.08) return this.#create(loop);
    if (dice < 0.14) return this.#recreate(loop);
    const id =
      this.#random.next() < 0.7
        ? choose(this.#hot[loop] ?? [], this.#random)
        : this.#existingKey(loop);
    if (this.#untouchable.has(id)) return;
    const known = this.#known.get(id);
    if (!known) return this.#firstLook(id);
    if (dice < 0.38) return this.#readOwn(id, known);
    if (known.row === null)
      return this.#write(id, 'put', inventCustomer(id, this.#nextOp(), this.#random), loop);
    if (dice < 0.46) return this.#write(id, 'delete', null, loop);
    if (dice < 0.62) {
      const row = inventCustomer(id, this.#nextOp(), this.#random);
      return this.#write(id, 'put', { ...row, created_at: known.row.created_at }, loop);
    }
    const change = inventChange(known.row, this.#nextOp(), this.#random);
    return this.#write(id, 'update', { ...known.row, ...change }, loop, change);
  }

  /** One request of the loop whose keys all processes write. */
  async sharedStep(): Promise<void> {
    const id = String(sharedFrom + whole(sharedKeys, this.#random));
    const dice = this.#random.next();
    const known = this.#known.get(id);
    if (dice < 0.15 && known) return this.#readOwn(id, known);
    if (dice < 0.3) return this.#write(id, 'delete', null, null);
    return this.#write(id, 'put', inventCustomer(id, this.#nextOp(), this.#random), null);
  }

  /** Presents a token that the other process was given. */
  async readWithToken(id: string, op: string, token: string): Promise<void> {
    await this.#read(id, op, token);
  }

  async #create(loop: number): Promise<void> {
    const { process, processes, loops } = this.#options;
    const slots = processes * loops;
    // Keys of dead incarnations are counted by `recall`, so none is used twice.
    const id = String(createdFrom + this.#created++ * slots + process * loops + loop);
    this.#hot[loop]?.splice(whole(hotKeysPerLoop, this.#random), 1, id);
    await this.#write(id, 'put', inventCustomer(id, this.#nextOp(), this.#random), loop);
  }

  /** A key that was deleted comes back: the tombstone must not win over the new row, nor the old row over the tombstone. */
  async #recreate(loop: number): Promise<void> {
    const id = this.#deleted[loop]?.shift();
    if (id === undefined || this.#untouchable.has(id) || this.#known.get(id)?.row !== null) return;
    await this.#write(id, 'put', inventCustomer(id, this.#nextOp(), this.#random), loop);
  }

  async #firstLook(id: string): Promise<void> {
    const row = await this.#read(id, null, undefined);
    if (row) this.#known.set(id, { row, op: null, token: null });
  }

  async #readOwn(id: string, known: Known): Promise<void> {
    await this.#read(id, known.token ? known.op : null, known.token ?? undefined);
  }

  async #read(
    id: string,
    after: string | null,
    token: string | undefined,
  ): Promise<LegacyCustomer | null> {
    const from = monotonicMs();
    const watched = this.#events.watching?.();
    try {
      const record = await this.#customers.get(id, { routingKey: id, token });
      const row = record === null ? null : toLegacyCustomer(record);
      const seen = row && { revision: row.revision ?? '', digest: digestOfCustomer(row) };
      this.#ledger.append({ t: 'read', id, after, seen, from, at: monotonicMs(), ...watched?.() });
      this.#events.read();
      return row;
    } catch (error) {
      this.#ledger.append({ t: 'read-failed', id, code: codeOf(error), at: monotonicMs() });
      this.#events.failed('read', error);
      return null;
    }
  }

  async #write(
    id: string,
    action: WriteAction,
    after: LegacyCustomer | null,
    loop: number | null,
    fields?: Partial<LegacyCustomer>,
  ): Promise<void> {
    const op = after?.revision ?? this.#nextOp();
    const from = monotonicMs();
    this.#ledger.append({ t: 'intent', op, id, action, after, at: from });
    const watched = this.#events.watching?.();
    try {
      const receipt = await this.#events.sending(id, op, () =>
        this.#send(id, action, after, fields),
      );
      const at = monotonicMs();
      const token = receipt.token === '' ? null : receipt.token;
      this.#ledger.append({ t: 'ack', op, token, at, ...watched?.() });
      this.#known.set(id, { row: after, op, token });
      if (after === null && loop !== null) this.#deleted[loop]?.push(id);
      this.#events.acknowledged(id, op, token, at - from);
    } catch (error) {
      const code = codeOf(error);
      const rejected = error instanceof ChangeoverError && code !== 'OUTCOME_UNKNOWN';
      this.#ledger.append({ t: rejected ? 'rejected' : 'unknown', op, code, at: monotonicMs() });
      if (!rejected) this.#untouchable.add(id);
      this.#events.failed(action, error);
    }
  }

  #send(
    id: string,
    action: WriteAction,
    after: LegacyCustomer | null,
    fields?: Partial<LegacyCustomer>,
  ): ReturnType<CollectionHandle['put']> {
    if (action === 'delete' || after === null) return this.#customers.delete(id);
    return action === 'put'
      ? this.#customers.put(after)
      : this.#customers.update(id, fields ?? after);
  }

  /** Unique over processes and incarnations, rising within one: the record's `revision`. */
  #nextOp(): string {
    const { process, incarnation } = this.#options;
    this.#sequence++;
    return String((process + 1) * 1_000_000_000_000 + incarnation * 1_000_000_000 + this.#sequence);
  }

  #existingKey(loop: number): string {
    const { process, processes, loops, rows } = this.#options;
    const slots = processes * loops;
    const slot = process * loops + loop;
    return String(
      1 + slot + slots * whole(Math.max(1, Math.floor((rows - slot) / slots)), this.#random),
    );
  }
}

function codeOf(error: unknown): string {
  if (error instanceof ChangeoverError) return error.code;
  return error instanceof Error ? error.name : 'unknown';
}
