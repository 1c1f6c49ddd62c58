import { type ApplierOptions, applierDefaults } from '../capture/index.ts';

export interface WorkerOptions {
  /** For people: shown in `status`. */
  readonly label: string;
  readonly leaseMs: number;
  /** Between two looks at an empty queue. */
  readonly pollMs: number;
  readonly applier: ApplierOptions;
  /** Between two looks at suspect keys. */
  readonly recheckMs: number;
  /** Between two measurements of both queues. */
  readonly measureMs: number;
  /** Whether this worker copies existing records in phase `backfill`. */
  readonly backfill: boolean;
}

export const workerDefaults: WorkerOptions = {
  label: '',
  leaseMs: 10_000,
  pollMs: 25,
  applier: applierDefaults,
  recheckMs: 500,
  measureMs: 1_000,
  backfill: true,
};
