import {
  type EvidenceDelta,
  type EvidenceLatency,
  fingerprintOf,
  latencyBucket,
  type MigrationContext,
  type Mismatch,
  RecentSubjects,
} from '../control/index.ts';
import type { Side } from '../migration/index.ts';

export type Outcome = 'matched' | 'suspect' | 'shed' | 'timed-out' | 'failed';

/** Milliseconds of the same read on each store. */
export type PairLatency = Readonly<Record<Side, number>>;

/** What shadow reads of this process have counted, on its way to the control store. */
export interface ShadowCounts {
  add(name: string, outcome: Outcome): void;
  /** Of a read that matched: what it compared, see `subjectOf`. A repeat changes nothing. */
  prove(name: string, subject: string): void;
  took(name: string, latency: PairLatency): void;
  suspect(mismatch: Mismatch): void;
  /** What was counted so far is in the control store, or was given up. Never throws. */
  flush(): Promise<void>;
}

/** Suspects kept between two flushes; more are counted but not remembered (verify finds them too). */
const SUSPECTS_MAX = 1_000;
/** Subjects kept between two flushes, for each name; more do not count. */
const PENDING_MAX = 50_000;
/** Subjects that are not sent again for an hour, for each name. */
const RECENT_MAX = 100_000;
const RECENT_MINUTES = 60;

interface Pending {
  /** Of the first of these counts: a process that slept before it sent them must not make them look new. */
  readonly minute: number;
  /** How was compared when the first of these counts came. */
  readonly fingerprint: string;
  readonly outcomes: Record<Outcome, number>;
  subjects: string[];
  readonly latencies: Readonly<Record<Side, Map<number, number>>>;
}

export function createShadowCounts(context: MigrationContext): ShadowCounts {
  return new GatheredCounts(context);
}

class GatheredCounts implements ShadowCounts {
  readonly #context: MigrationContext;
  #pending = new Map<string, Pending>();
  #suspects = new Map<string, Mismatch>();
  readonly #recent = new Map<string, RecentSubjects>();

  constructor(context: MigrationContext) {
    this.#context = context;
  }

  add(name: string, outcome: Outcome): void {
    this.#of(name).outcomes[outcome] += 1;
  }

  prove(name: string, subject: string): void {
    const { subjects, fingerprint } = this.#of(name);
    if (subjects.length >= PENDING_MAX) return;
    // What was proven under another comparator is to be proven anew.
    const place = `${fingerprint} ${name}`;
    let recent = this.#recent.get(place);
    if (recent === undefined) {
      recent = new RecentSubjects(RECENT_MAX, RECENT_MINUTES);
      this.#recent.set(place, recent);
    }
    if (recent.isNew(subject, this.#minute())) subjects.push(subject);
  }

  took(name: string, latency: PairLatency): void {
    const { latencies } = this.#of(name);
    for (const side of ['source', 'target'] as const) {
      const bucket = latencyBucket(latency[side]);
      latencies[side].set(bucket, (latencies[side].get(bucket) ?? 0) + 1);
    }
  }

  suspect(mismatch: Mismatch): void {
    if (this.#suspects.size >= SUSPECTS_MAX) return;
    this.#suspects.set(`${mismatch.collection} ${mismatch.key}`, mismatch);
  }

  async flush(): Promise<void> {
    const { control, migration } = this.#context;
    const [pending, suspects] = [this.#pending, this.#suspects];
    if (pending.size === 0 && suspects.size === 0) return;
    this.#pending = new Map();
    this.#suspects = new Map();
    const deltas = [...pending].map(([name, one]) => this.#delta(name, one));
    const latencies = [...pending].flatMap(([name, one]) => latenciesOf(name, one));
    try {
      if (suspects.size > 0)
        await control.mismatches.record(migration.name, [...suspects.values()]);
      await control.evidence.add(migration.name, deltas);
      await control.evidence.addLatencies(migration.name, latencies);
    } catch {
      // Evidence that could not be kept is evidence that nobody has: the gates see fewer comparisons, never more.
      this.#recent.clear();
    }
  }

  #of(name: string): Pending {
    let found = this.#pending.get(name);
    if (found === undefined) {
      found = {
        minute: this.#minute(),
        fingerprint: this.#fingerprint(name),
        outcomes: { matched: 0, suspect: 0, shed: 0, 'timed-out': 0, failed: 0 },
        subjects: [],
        latencies: { source: new Map(), target: new Map() },
      };
      this.#pending.set(name, found);
    }
    return found;
  }

  #fingerprint(name: string): string {
    const { migration, runtime } = this.#context;
    return fingerprintOf(migration, name, runtime.clock.now());
  }

  #delta(name: string, { minute, fingerprint, outcomes, subjects }: Pending) {
    // An exemption has expired between the first of these counts and now: nobody can say which were made how.
    const same = fingerprint === this.#fingerprint(name);
    return {
      collection: name,
      detector: 'shadow-read',
      minute,
      fingerprint: same ? fingerprint : '',
      compared: outcomes.matched + outcomes.suspect,
      matched: outcomes.matched,
      suspect: outcomes.suspect,
      confirmed: 0,
      shed: outcomes.shed,
      timedOut: outcomes['timed-out'],
      failed: outcomes.failed,
      subjects: same ? subjects : [],
    } satisfies EvidenceDelta;
  }

  #minute(): number {
    return Math.floor(this.#context.runtime.clock.now() / 60_000);
  }
}

function latenciesOf(name: string, { minute, latencies }: Pending): EvidenceLatency[] {
  return (['source', 'target'] as const)
    .filter((side) => latencies[side].size > 0)
    .map((side) => ({ collection: name, side, minute, buckets: latencies[side] }));
}
