import {
  compareStores,
  countRequests,
  type FaultKind,
  historyOf,
  judgeReads,
  judgeStore,
} from '../../src/demo/judge.ts';
import type { LedgerLine } from '../../src/demo/ledger.ts';
import type { StoreSnapshot } from '../../src/demo/store-snapshot.ts';
import type { HistoryVerdict } from '../../src/testing/history/index.ts';
import { judgeAuthority, type VersionedWrite, versionedWrites } from './authority-epochs.ts';
import { judgeOrder } from './ledger-history.ts';
import { describeWrongReads } from './wrong-reads.ts';

/** What ledgers and stores say about each other. */
export interface Examination {
  readonly requests: ReturnType<typeof countRequests>;
  readonly reads: ReturnType<typeof judgeReads>;
  readonly versioned: readonly VersionedWrite[];
  /** One line for each sign of a second authority in the ledgers. */
  readonly authority: readonly string[];
  /** One line for each key that a store holds wrongly, and for each wrong read; some for each key without an order. */
  readonly faults: readonly string[];
  /** Whether one order explains all that the applications were told. */
  readonly order: HistoryVerdict;
  /** Keys with a fault of this kind. */
  count(kind: FaultKind): number;
}

/** Compares what was there before, and what all processes wrote down since, with both stores, when nothing is under way any more. */
export function examine(
  before: StoreSnapshot,
  ledgers: readonly (readonly LedgerLine[])[],
  stores: { readonly source: StoreSnapshot; readonly target: StoreSnapshot },
  failClosed = false,
): Examination {
  const history = historyOf(ledgers);
  const versioned = versionedWrites(ledgers);
  const order = judgeOrder(before, ledgers, stores, failClosed);
  const found = [
    ...(['source', 'target'] as const).flatMap((store) =>
      judgeStore(before, history, stores[store]).map((fault) => ({ ...fault, store })),
    ),
    ...compareStores(stores.source, stores.target).map((fault) => ({ ...fault, store: 'both' })),
  ];
  return {
    requests: countRequests(history),
    reads: judgeReads(before, history),
    versioned,
    authority: judgeAuthority(versioned),
    faults: [
      ...found.map(({ kind, id, store, why }) => `${kind}: customer ${id} in ${store}: ${why}`),
      ...describeWrongReads(before, history),
      ...order.faults.map(({ text }) => `customer ${text.replaceAll('\n', '\n    ')}`),
    ],
    order,
    count: (kind) => new Set(found.flatMap((one) => (one.kind === kind ? [one.id] : []))).size,
  };
}
