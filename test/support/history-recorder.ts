import type {
  Operation,
  OperationHistory,
  ReadOperation,
  WriteOperation,
} from '../../src/testing/history/index.ts';

/** A write that was called. */
export interface Called {
  readonly id: string;
  readonly key: string;
  readonly value: string | null;
  readonly process: string;
  readonly from: number;
}

/** What clients saw, and nothing else: operations for `checkHistory`, whose values are stamps. */
export class Recorder {
  readonly initial = new Map<string, string>();
  readonly #answered: Operation[] = [];
  readonly #open = new Map<string, Called>();
  #number = 0;

  /** Times are of the caller's clock. */
  call(process: string, key: string, value: string | null, from: number): Called {
    this.#number += 1;
    const called = { id: `w${this.#number}`, key, value, process, from };
    this.#open.set(called.id, called);
    return called;
  }

  /** `unknown` leaves it open for ever. */
  settle(called: Called, outcome: 'ok' | 'failed', to: number, epoch: number | null): void {
    this.#open.delete(called.id);
    this.#answered.push({ kind: 'write', ...called, to, outcome, epoch });
  }

  /** An update that was told to have found nothing: it wrote nothing, it has read. */
  foundNothing(called: Called, to: number, epoch: number): void {
    this.#open.delete(called.id);
    const route = { token: null, route: 'authority' } as const;
    this.#answered.push({ kind: 'read', ...called, value: null, to, epoch, ...route });
  }

  read(read: Omit<ReadOperation, 'kind' | 'id'>): void {
    this.#number += 1;
    this.#answered.push({ kind: 'read', id: `r${this.#number}`, ...read });
  }

  history(): OperationHistory {
    const open = [...this.#open.values()].map(
      (called): WriteOperation => ({
        kind: 'write',
        ...called,
        to: Number.POSITIVE_INFINITY,
        outcome: 'unknown',
        epoch: null,
      }),
    );
    return { initial: this.initial, operations: [...this.#answered, ...open] };
  }
}
