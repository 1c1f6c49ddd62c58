import type { MigrationContext } from '../control/index.ts';
import type { ParitySetting } from '../migration/index.ts';
import { addLooked, createDetector, type Looked, nothingLooked } from './detector.ts';
import { parityPace } from './parity-pace.ts';
import { createParitySampler } from './parity-sample.ts';
import { createParitySweep } from './parity-sweep.ts';
import { noteRun } from './reconciliation.ts';
import { type ScopeOptions, stopReason, verifyScope } from './verify-scope.ts';

/** Name of the parity worker in evidence and ledger. */
export const parityDetector = 'parity';

export interface ParityOptions extends ScopeOptions {
  /** Waits until so many more records may be compared, e.g. a throttle's `acquire`; false: the work is not wanted any more. Default: at once. */
  readonly pace?: (records: number, signal: AbortSignal) => Promise<boolean>;
}

/** What a turn came to. */
export interface ParityTurn extends Looked {
  /** Milliseconds after the beginning of the turn until the next one is due. */
  readonly everyMs: number;
}

/** Compares one collection all the time, in turns of about a second's worth. Ends with its scope: a change of authority needs a new one. */
export interface ParityWorker {
  /** False: authority or generation have changed, or the work is held. */
  readonly isOpen: boolean;
  turn(): Promise<ParityTurn>;
}

/**
 * The parity worker of one collection: a sample or a sweep, as it is set. Nothing is compared at a common moment of both stores: what differs is a suspicion, which the
 * recheck decides. It holds no lock, and nobody waits for it. Errors: those of the stores and the control store that did not pass within a minute; the
 * turn is then to be repeated, and its records count as not compared.
 */
export function createParityWorker(
  context: MigrationContext,
  collection: string,
  setting: ParitySetting,
  options: ParityOptions,
  signal: AbortSignal,
): ParityWorker {
  const scope = verifyScope(context, collection, options, signal);
  const { clock } = context.runtime;
  const detector = createDetector(scope, parityDetector);
  const pace = (records: number): Promise<boolean> =>
    options.pace?.(records, signal) ?? Promise.resolve(stopReason(scope) === null);
  const sampler = createParitySampler(scope, detector, setting, pace);
  const sweep = createParitySweep(scope, detector, setting.periodMinutes * 60_000);
  const period = createPeriod(scope.context, scope.begun.generation, collection, setting);

  const records = async (): Promise<number> => {
    if (setting.mode === 'sample' && sampler.records > 0) return sampler.records;
    const { lastRecords } = setting.mode === 'sweep' ? (sweep.place ?? (await sweep.open())) : {};
    return lastRecords ?? (await scope.authority.records.extent(collection)).estimatedRows;
  };
  const work = async (wanted: number): Promise<Looked | null> => {
    if (!(await pace(wanted))) return null;
    return setting.mode === 'sweep' ? sweep.take(wanted) : sampler.take(wanted);
  };

  return {
    get isOpen() {
      return stopReason(scope) === null;
    },
    async turn() {
      const planned = parityPace(setting, await records());
      const { records: wanted, everyMs } = planned;
      try {
        const looked = (await work(wanted)) ?? nothingLooked;
        if (setting.mode === 'sample') await period.add(looked, clock.now());
        return { ...looked, everyMs };
      } catch (error) {
        detector.failed(wanted);
        throw error;
      } finally {
        await detector.flush();
      }
    },
  };
}

interface Period {
  add(looked: Looked, nowMs: number): Promise<void>;
}

/** One entry in the audit for each period of a sample, or for what a process has done of it by then. */
function createPeriod(
  context: MigrationContext,
  generation: number,
  collection: string,
  { periodMinutes, share }: ParitySetting,
): Period {
  let startedAtMs: number | null = null;
  let total = nothingLooked;
  return {
    async add(looked, nowMs) {
      startedAtMs ??= nowMs;
      total = addLooked(total, looked);
      if (nowMs < startedAtMs + periodMinutes * 60_000) return;
      await noteRun(context, generation, {
        kind: 'parity-sample',
        collection,
        reason: `a period of the parity worker over ${share * 100} % is over`,
        startedAtMs,
        counts: { ...total },
      });
      startedAtMs = nowMs;
      total = nothingLooked;
    },
  };
}
