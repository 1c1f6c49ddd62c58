import { historyOf } from '../../src/demo/judge.ts';
import type { LedgerLine } from '../../src/demo/ledger.ts';
import type { StoreSnapshot } from '../../src/demo/store-snapshot.ts';
import {
  checkHistory,
  type HistoryVerdict,
  type Operation,
  type OperationHistory,
} from '../../src/testing/history/index.ts';

/** What all ledgers hold, and a last look at both stores, as one history: values are digests of rows. */
export function ledgerHistory(
  before: StoreSnapshot,
  ledgers: readonly (readonly LedgerLine[])[],
  stores: Readonly<Record<string, StoreSnapshot>>,
): OperationHistory {
  const operations = ledgers.flatMap((lines, index) => operationsOf(lines, `p${index + 1}`));
  const acknowledged = new Set(
    operations.flatMap((one) => (one.kind === 'write' && one.outcome === 'ok' ? [one.id] : [])),
  );
  // A token from before a new page of the ledgers was begun asks for nothing that is not on this one.
  const known = operations.map((one) =>
    one.kind === 'read' && one.token !== null && !acknowledged.has(one.token)
      ? { ...one, token: null }
      : one,
  );
  const initial = new Map([...before].map(([id, { digest }]) => [id, digest]));
  const finished = known.filter(({ to }) => to !== Number.POSITIVE_INFINITY);
  const end = finished.reduce((latest, { to }) => Math.max(latest, to), 0) + 1;
  const epoch = finished.reduce((newest, one) => Math.max(newest, one.epoch ?? 0), 0);
  const ids = new Set([...initial.keys(), ...known.map(({ key }) => key)]);
  for (const snapshot of Object.values(stores)) for (const id of snapshot.keys()) ids.add(id);
  const last = Object.entries(stores).flatMap(([name, snapshot]) =>
    [...ids].map(
      (id): Operation => ({
        kind: 'read',
        id: `${name} at last`,
        key: id,
        value: snapshot.get(id)?.digest ?? null,
        process: name,
        from: end,
        to: end,
        token: null,
        route: 'authority',
        epoch,
      }),
    ),
  );
  return { initial, operations: [...known, ...last] };
}

function operationsOf(lines: readonly LedgerLine[], process: string): readonly Operation[] {
  const epochs = new Map<string, number>();
  for (const line of lines)
    if (line.t === 'ack' && line.epoch !== undefined) epochs.set(line.op, line.epoch);
  const { writes, reads } = historyOf([lines]);
  const outcomes = { acknowledged: 'ok', rejected: 'failed', unknown: 'unknown', open: 'unknown' };
  return [
    ...[...writes.values()].map(
      ({ op, id, digest, from, to, outcome }): Operation => ({
        kind: 'write',
        id: op,
        key: id,
        value: digest,
        process,
        from,
        to,
        outcome: outcomes[outcome] as 'ok' | 'failed' | 'unknown',
        epoch: epochs.get(op) ?? null,
      }),
    ),
    ...reads.map(
      ({ id, after, seen, from, at, route, epoch }, index): Operation => ({
        kind: 'read',
        id: `${process} read ${index + 1}`,
        key: id,
        value: seen?.digest ?? null,
        process,
        from,
        to: at,
        token: after,
        route: route ?? 'any',
        epoch: epoch ?? null,
      }),
    ),
  ];
}

/** Whether one order explains all that the applications were told, and both stores at the end. Of a fail-closed run the follower may have been ahead. */
export function judgeOrder(
  before: StoreSnapshot,
  ledgers: readonly (readonly LedgerLine[])[],
  stores: Readonly<Record<string, StoreSnapshot>>,
  failClosed: boolean,
): HistoryVerdict {
  return checkHistory(ledgerHistory(before, ledgers, stores), { followerApart: () => failClosed });
}
