import {
  caughtUp,
  followLog,
  logApplierDefaults,
  loggedCollections,
  logReaders,
} from '../capture/index.ts';
import type { GapDecision, GapRecord, GapStatus } from '../control/index.ts';
import { undecidedGapStatuses } from '../control/index.ts';
import type { Collection, MigrationState } from '../migration/index.ts';
import { settleGap } from './close-gap.ts';
import { type OpenGap, openGap } from './open-gap.ts';
import { PAGE } from './record-keys.ts';
import { type Weighed, weigh } from './weigh-gap.ts';
import { writeRecord } from './write-record.ts';

export interface ApplyOptions {
  readonly actor: string;
  readonly reason: string;
  /** `preview`: says what would be done, and changes nothing. */
  readonly mode: 'preview' | 'apply';
  /** Records that are named in the report, at most; counts are of all. */
  readonly listMax: number;
  readonly signal: AbortSignal;
}

/** What was done, or would be. `put`, `delete`: written to the source. `left`: nobody could say just then; apply again. */
export type ApplyOutcome = Weighed['verdict'] | 'left';

export interface AppliedRecord {
  readonly collection: string;
  /** Encoded. */
  readonly key: string;
  readonly outcome: ApplyOutcome;
  readonly note: string;
}

export interface ApplyReport {
  readonly mode: ApplyOptions['mode'];
  readonly counts: Readonly<Record<ApplyOutcome, number>>;
  readonly records: readonly AppliedRecord[];
  /** After it; without `gap` when everything is decided. */
  readonly state: MigrationState;
}

/** Records that are written at the same time: each holds one connection to the source and asks over another. One, once a small pool was too small for it. */
const AT_ONCE = 3;
/** A record may have to wait for another of the gap (a parent): tried again as long as some pass writes something. */
const PASSES_MAX = 10;
const LOG_MS = 3_000;

/**
 * Brings the gap's records back to the source, as far as that overwrites nothing: a record that the source has not touched since the rescue is written, one that both
 * tell alike is done, the rest is left to a person as `conflict` or `refused`. Idempotent: what a killed run has written is found equal by the next.
 *
 * TRANSITION_REFUSED unless a gap is collected; STORE_UNAVAILABLE when a store does not answer (the target's fences are asked, too).
 */
export async function applyGap(
  context: OpenGap['context'],
  options: ApplyOptions,
): Promise<ApplyReport> {
  const gap = await openGap(context, 'collected');
  const run = new ApplyRun(gap, options);
  await whileFollowed(gap, async () => {
    // What is captured from the log is known to be touched only then; under the lock it is asked again.
    await caughtUp(context, gap.state, LOG_MS).catch(() => false);
    if (options.mode === 'preview') await run.pass('preview');
    else await run.apply();
  });
  if (options.mode === 'apply') await settleGap(context, options);
  return run.report(await context.control.load(context.migration.name));
}

class ApplyRun {
  readonly #gap: OpenGap;
  readonly #options: ApplyOptions;
  #atOnce = AT_ONCE;
  /** Place → what became of it last. */
  readonly #records = new Map<string, AppliedRecord>();
  readonly #counts: Record<ApplyOutcome, number> = {
    put: 0,
    delete: 0,
    equal: 0,
    conflict: 0,
    refused: 0,
    left: 0,
  };

  constructor(gap: OpenGap, options: ApplyOptions) {
    this.#gap = gap;
    this.#options = options;
  }

  /** Parents before children, and deletes the other way round. */
  async apply(): Promise<void> {
    for (let pass = 1; pass <= PASSES_MAX; pass++) {
      const before = this.#counts.put + this.#counts.delete;
      const atOnce = this.#atOnce;
      this.#counts.refused = 0;
      this.#counts.left = 0;
      await this.pass('put');
      await this.pass('delete');
      const done = this.#counts.put + this.#counts.delete - before;
      const moves = done > 0 || this.#atOnce < atOnce;
      if (!moves || this.#counts.refused + this.#counts.left === 0) return;
    }
  }

  report(state: MigrationState): ApplyReport {
    const { mode, listMax } = this.#options;
    const records = [...this.#records.values()].slice(0, listMax);
    return { mode, counts: this.#counts, records, state };
  }

  /** `put`: everything but deletes. */
  async pass(doing: 'put' | 'delete' | 'preview'): Promise<void> {
    const { context } = this.#gap;
    const collections = [...context.migration.collections.values()];
    if (doing === 'delete') collections.reverse();
    for (const collection of collections) await this.#passOver(collection, doing);
  }

  async #passOver(collection: Collection, doing: 'put' | 'delete' | 'preview'): Promise<void> {
    const { context, gap } = this.#gap;
    const { name } = context.migration;
    let after: GapRecord | undefined;
    for (;;) {
      this.#options.signal.throwIfAborted();
      const page = await context.control.gaps.list(name, gap.rescue, {
        collection: collection.name,
        statuses: undecidedGapStatuses,
        limit: PAGE,
        ...(after ? { after } : {}),
      });
      const last = page.at(-1);
      if (last === undefined) return;
      after = last;
      const weighed = await weigh(this.#gap, collection, page);
      if (doing === 'preview') {
        for (const one of weighed) this.#tell(one, one.verdict, one.note);
        continue;
      }
      const deletes = doing === 'delete';
      const open = weighed.filter(({ record, verdict }) => {
        return record.status !== 'conflict' || verdict === 'equal';
      });
      await this.#decide(open.filter(({ verdict }) => (verdict === 'delete') === deletes));
      if (page.length < PAGE) return;
    }
  }

  async #decide(weighed: readonly Weighed[]): Promise<void> {
    const plain = weighed.filter(({ verdict }) => verdict !== 'put' && verdict !== 'delete');
    await this.#note(plain.map((one) => decisionOf(one, one.verdict, one.note)));
    for (const one of plain) this.#tell(one, one.verdict, one.note);
    const writes = weighed.filter(({ verdict }) => verdict === 'put' || verdict === 'delete');
    for (let at = 0; at < writes.length; ) {
      this.#options.signal.throwIfAborted();
      const some = writes.slice(at, at + this.#atOnce);
      at += some.length;
      const before = this.#counts.left;
      await Promise.all(some.map((one) => this.#write(one)));
      if (this.#counts.left > before) this.#atOnce = 1;
    }
  }

  async #write(one: Weighed): Promise<void> {
    const { outcome, note } = await writeRecord(this.#gap, one, one.record.source, false);
    if (outcome === 'written') {
      await this.#note([decisionOf(one, one.verdict, '')]);
      this.#tell(one, one.verdict, '');
      return;
    }
    if (outcome !== 'left') await this.#note([decisionOf(one, outcome, note)]);
    this.#tell(one, outcome, note);
  }

  async #note(decisions: readonly GapDecision[]): Promise<void> {
    if (decisions.length === 0) return;
    const { context, gap } = this.#gap;
    const { gaps } = context.control;
    await gaps.decide(context.migration.name, gap.rescue, undecidedGapStatuses, decisions);
  }

  #tell({ record }: Weighed, outcome: ApplyOutcome, note: string): void {
    const { collection, key } = record;
    this.#counts[outcome] += 1;
    const place = `${collection}\u0000${key}`;
    const known = this.#records.has(place);
    if (known || this.#records.size < this.#options.listMax)
      this.#records.set(place, { collection, key, outcome, note });
  }
}

const statusOf: Readonly<Record<Weighed['verdict'], GapStatus>> = {
  put: 'applied',
  delete: 'applied',
  equal: 'equal',
  conflict: 'conflict',
  refused: 'refused',
};

function decisionOf(
  { record, current }: Weighed,
  verdict: Weighed['verdict'],
  note: string,
): GapDecision {
  const { collection, key } = record;
  // A refused record may still be written by rule, so what it was compared with stays.
  const seen = verdict === 'conflict' ? { source: current } : {};
  return { collection, key, status: statusOf[verdict], note, ...seen };
}

/** Log capture tells what the source was written only while somebody follows; where no worker does, this process. */
async function whileFollowed(
  { context, state }: OpenGap,
  work: () => Promise<void>,
): Promise<void> {
  const alone =
    loggedCollections(context.migration).length > 0 && (await logReaders(context)).length === 0;
  if (!alone) return work();
  const end = new AbortController();
  const passes = { enter: () => ({ state, leave: () => {} }) };
  const following = followLog(context, passes, logApplierDefaults, end.signal).catch(
    () => 'moved' as const,
  );
  try {
    await work();
  } finally {
    end.abort();
    await following;
  }
}
