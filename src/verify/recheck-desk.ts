import type { Mismatch } from '../control/index.ts';
import { decodeKey } from '../record/index.ts';
import { createComparator } from './comparator.ts';
import { createEvidenceTally, type EvidenceTally } from './evidence-tally.ts';
import {
  createRechecker,
  type Decision,
  type Rechecker,
  type RecheckOptions,
} from './rechecker.ts';
import { openVerdictWriter } from './verdicts.ts';
import { stopReason, type VerifyScope } from './verify-scope.ts';

/** What a round over the ledger came to. */
export interface SuspectReport {
  readonly checked: number;
  /** They agree now. */
  readonly dropped: number;
  /** They differ for good. */
  readonly opened: number;
  readonly unresolved: number;
}

export const nothingRechecked: SuspectReport = { checked: 0, dropped: 0, opened: 0, unresolved: 0 };

export const addReports = (a: SuspectReport, b: SuspectReport): SuspectReport => ({
  checked: a.checked + b.checked,
  dropped: a.dropped + b.dropped,
  opened: a.opened + b.opened,
  unresolved: a.unresolved + b.unresolved,
});

/** Suspects of one collection between two writes to the ledger: the writer asks the control store for each batch. */
const FLUSH_MAX = 500;

/**
 * Where every detector's suspicions are decided. The mismatch ledger is the queue that survives a process: shadow reads, the parity worker, the sweeper and what a
 * verification left in doubt stand there as suspects. The desk takes lines from it into the counted heap of the rechecker, and writes each verdict back.
 *
 * A line that is seen again after it was taken in is counted once more and looked at once more; and what the ledger forgets is a line as it was taken in, never one
 * that somebody has seen since. So no suspicion is lost between two looks, in whichever process it came up.
 */
export class RecheckDesk {
  readonly #scope: VerifyScope;
  readonly #rechecker: Rechecker;
  /** Encoded key → when the line that was taken in had last been seen. */
  readonly #admitted = new Map<string, { readonly seenMs: number; readonly wasOpen: boolean }>();
  readonly #tallies = new Map<string, EvidenceTally>();
  #decisions: Decision[] = [];
  #report = nothingRechecked;

  constructor(scope: VerifyScope, options: RecheckOptions) {
    this.#scope = scope;
    this.#rechecker = createRechecker(scope, createComparator(scope), options, (decision) => {
      this.#decisions.push(decision);
    });
  }

  /** Keys that wait or are being looked at. */
  get size(): number {
    return this.#rechecker.size;
  }

  /** False: authority or generation have changed, or the work is held; what is not decided stays in the ledger for another desk. */
  get isOpen(): boolean {
    return stopReason(this.#scope) === null;
  }

  /** Takes lines of the ledger in. Those that are known in this state are left alone; answers how many were new or seen again. */
  admit(lines: readonly Mismatch[]): number {
    let taken = 0;
    for (const { key, detector, status, firstSeenMs, lastSeenMs, rechecks } of lines) {
      const known = this.#admitted.get(key);
      if (known && known.seenMs >= lastSeenMs) continue;
      const wasOpen = status !== 'suspect';
      this.#admitted.set(key, { seenMs: lastSeenMs, wasOpen: known?.wasOpen ?? wasOpen });
      this.#rechecker.suspect(decodeKey(key), { detector, firstSeenMs, rechecks });
      taken += 1;
    }
    return taken;
  }

  /** Looks at what is due, and writes what was decided. */
  async work(): Promise<void> {
    await this.#rechecker.work();
    await this.flush();
  }

  /** Until everything is decided and written, or the scope ends. */
  async drain(): Promise<void> {
    while (this.size > 0 && this.isOpen) {
      await this.#rechecker.drain(Math.max(0, this.size - FLUSH_MAX));
      await this.flush();
    }
    await this.flush();
  }

  /** Writes decisions to the ledger and what was confirmed to the evidence. Throws what does not pass within a minute. */
  async flush(): Promise<void> {
    const decisions = this.#decisions;
    if (decisions.length === 0) return;
    const writer = await openVerdictWriter(this.#scope, { drops: true });
    this.#decisions = this.#decisions.slice(decisions.length);
    for (const decision of decisions) {
      const admitted = this.#admitted.get(decision.id);
      this.#admitted.delete(decision.id);
      writer.add(admitted ? { ...decision, seenMs: admitted.seenMs } : decision);
      this.#count(decision, admitted?.wasOpen ?? false);
    }
    await writer.flush();
    for (const tally of this.#tallies.values()) await tally.flush();
  }

  /** What was decided since the last time that it was asked for. */
  takeReport(): SuspectReport {
    const report = this.#report;
    this.#report = nothingRechecked;
    return report;
  }

  #count({ verdict, suspicion }: Decision, wasOpen: boolean): void {
    this.#report = addReports(this.#report, {
      checked: 1,
      dropped: Number(verdict === 'transient'),
      opened: Number(verdict === 'persistent'),
      unresolved: Number(verdict === 'unresolved'),
    });
    // A mismatch that was open before has been counted when it was opened.
    if (verdict !== 'persistent' || wasOpen) return;
    const { context, collection } = this.#scope;
    const { detector } = suspicion;
    const tally =
      this.#tallies.get(detector) ?? createEvidenceTally(context, collection.name, detector);
    this.#tallies.set(detector, tally);
    tally.add({ confirmed: 1 });
  }
}
