import type { BackfillOptions } from '../backfill/index.ts';
import {
  type ApplierOptions,
  applierDefaults,
  type LogApplierOptions,
  logApplierDefaults,
} from '../capture/index.ts';
import { type CutoverLimits, defaultCutoverLimits } from '../cutover/index.ts';

export interface WorkerOptions {
  /** For people: shown in `status`. */
  readonly label: string;
  readonly leaseMs: number;
  /** Between two looks at an empty queue. */
  readonly pollMs: number;
  readonly applier: ApplierOptions;
  readonly log: LogApplierOptions;
  /** Between two looks at suspect keys. */
  readonly recheckMs: number;
  /** Between two measurements of the queue. */
  readonly measureMs: number;
  /** Between two looks at the way back, after the write switch; null: nobody is told (`way-back`). */
  readonly wayBackMs: number | null;
  /** Deadlines of a change of authority, as the operator's side has them. */
  readonly cutover: CutoverLimits;
  /** How existing records are copied in phase `backfill`; null: this worker copies nothing. */
  readonly backfill: Omit<BackfillOptions, 'currentState'> | null;
  /** Told of a turn that threw; the turn is repeated after a backoff. */
  readonly onError: (task: string, message: string) => void;
}

export type WorkerOptionsInput = Partial<Omit<WorkerOptions, 'applier' | 'log'>> & {
  readonly applier?: Partial<ApplierOptions>;
  readonly log?: Partial<LogApplierOptions>;
};

export const workerDefaults: WorkerOptions = {
  label: '',
  leaseMs: 10_000,
  pollMs: 25,
  applier: applierDefaults,
  log: logApplierDefaults,
  recheckMs: 500,
  measureMs: 1_000,
  wayBackMs: 5_000,
  cutover: defaultCutoverLimits,
  backfill: {},
  onError: () => {},
};
