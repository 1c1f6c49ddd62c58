import type { ReportData } from '../../src/report/index.ts';

/** A small report with something in each part; `nasty` stands wherever people and stores choose a text. */
export function madeUpReport({ by = 'ann@host', nasty = 'customers' } = {}): ReportData {
  const atMs = Date.UTC(2026, 0, 31, 10);
  const minute = atMs / 60_000;
  const step = {
    atMs,
    stateVersion: 3,
    from: 'backfill',
    to: 'shadow-read',
    actor: nasty,
    reason: nasty,
  };
  const gate = { gate: 'dead-letters', verdict: 'fail', message: nasty };
  const note = { atMs, actor: nasty, action: 'repair', reason: nasty, detail: { counts: nasty } };
  return {
    subject: {
      schemaVersion: 1,
      migration: 'shop',
      observedAtMs: atMs,
      sinceMs: null,
      by,
      phase: 'shadow-read',
      stateVersion: 3,
      generation: 1,
      epoch: 1,
      dialBasisPoints: 0,
      authority: 'source',
      source: 'postgres a',
      target: 'postgres b',
      control: 'c.db',
      auditCut: false,
    },
    verdict: { level: 'open', title: 'Not proven yet', statements: [nasty], provenUntilMs: null },
    history: [
      { ...step, action: 'advance', profile: 'default', gates: [{ ...gate, override: nasty }] },
    ],
    decisions: [{ atMs, kind: 'override', what: 'dead-letters', actor: nasty, reason: nasty }],
    collections: [
      {
        collection: nasty,
        sourceTable: nasty,
        targetTable: nasty,
        capture: 'app',
        transformed: true,
        transformVersion: 1,
        shadowReadSample: 1,
        ignored: [],
        backfill: {
          rowsRead: 5,
          rowsInserted: 5,
          rowsDead: 0,
          startedAtMs: atMs,
          finishedAtMs: atMs + 5,
        },
      },
    ],
    proofs: [
      {
        atMs,
        actor: nasty,
        collections: [nasty],
        kind: 'recheck',
        extent: 'full',
        finished: true,
        compared: 5,
        open: 0,
        startedAtMs: atMs,
        outdated: [],
        more: { digest: nasty },
      },
    ],
    parity: [
      {
        collection: nasty,
        detector: 'shadow-read',
        window: 'window of the gates',
        fromMs: atMs,
        untilMs: atMs,
        compared: 300,
        independent: 300,
        byOthers: 0,
        mismatches: 0,
        undecided: 0,
        shed: 1,
        timedOut: 0,
        failed: 0,
        coverage: 0.99,
        confidence: 0.95,
        bound: 0.99,
        arithmetic: 'x',
      },
    ],
    mismatches: {
      unexplained: 1,
      byStatus: { open: 1 },
      rows: [{ collection: nasty, class: 'stale', field: nasty, status: 'open', count: 1 }],
      keys: [{ collection: nasty, key: nasty, status: 'open' }],
    },
    repairs: [note],
    pipeline: {
      sides: [
        { side: 'source', role: 'authority', waiting: 1, dead: 1, oldestMs: 5, error: nasty },
      ],
      deadLetters: [{ side: 'source', collection: nasty, reason: nasty, count: 1 }],
      log: nasty,
    },
    wayBack: {
      ready: true,
      message: nasty,
      readsMs: 1,
      writesMs: 0,
      switches: [
        {
          atMs,
          attempt: nasty,
          outcome: 'committed',
          predictedMs: 40,
          actualMs: 38,
          budgetMs: 500,
        },
      ],
      drills: [
        {
          atMs,
          actor: nasty,
          ok: false,
          phase: 'shadow-read',
          spreadMs: 1,
          arrivalMs: 2,
          estimateMs: 3,
          failed: [nasty],
        },
      ],
      rollbacks: [],
    },
    intruders: { watched: { side: 'target', total: 0, blind: nasty }, notes: [note] },
    fleet: [
      {
        id: 'i',
        label: nasty,
        kind: 'router',
        acknowledgedVersion: 3,
        alive: true,
        lastSeenMs: atMs,
      },
    ],
    programme: {
      verdict: 'stalled',
      reasons: [nasty],
      phase: 'shadow-read',
      phaseSinceMs: atMs,
      lastProgress: { what: 'advance', atMs },
      stalledAfterDays: 7,
      killDate: { date: '2026-02-01', daysLeft: 1 },
      pointOfNoReturn: { text: nasty, passed: null },
      cost: { beganMs: atMs, days: 1, perDay: 5, amount: 5, currency: nasty },
    },
    gates: {
      to: 'read-switch',
      verdict: 'fail',
      profile: nasty,
      gates: [{ ...gate, overridable: false }],
    },
    unchecked: [{ what: nasty, why: nasty }],
    series: [
      {
        plot: 'latency',
        name: nasty,
        points: [
          [minute, 3],
          [minute + 1, 4],
        ],
      },
    ],
  };
}
