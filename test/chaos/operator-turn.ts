import { setTimeout as sleep } from 'node:timers/promises';
import { comparatorsOf, type MigrationContext } from '../../src/control/index.ts';
import type { Act, Controller } from '../../src/controller/index.ts';
import type { GateResult } from '../../src/gates/index.ts';
import type { MigrationState, Phase } from '../../src/migration/index.ts';
import type { Random } from '../../src/runtime/index.ts';
import { persistentTotal, repair, verifyCollection } from '../../src/verify/index.ts';
import { collection } from './chaos-migration.ts';
import type { ChildMessage } from './child-messages.ts';

export interface OperatorPlan {
  /** Changes of authority before it may finish. */
  readonly switches: number;
  /** No more detours: to the nearest state in which both stores can be judged. */
  readonly finish: boolean;
}

export interface OperatorWork {
  readonly context: MigrationContext;
  readonly controller: Controller;
  readonly act: Act;
  readonly random: Random;
  readonly plan: OperatorPlan;
  readonly tell: (message: ChildMessage) => Promise<void>;
}

/** Changes of authority in one generation: there, back, there, back; then everything is removed and begins anew. */
const switchesPerGeneration = 4;
const verifyMs = 60_000;
const waitsMs = 8_000;

/** One look at the state and the one deed that follows from it. */
export async function operatorTurn(work: OperatorWork): Promise<'goes-on' | 'finished'> {
  const { context, controller, act } = work;
  const state = await context.control.load(context.migration.name);
  if (state.cutover !== null) {
    const { outcome, message } = await controller.resumeCutover();
    if (outcome !== 'running') await did(work, `resumed a change of authority: ${message}`);
    return 'goes-on';
  }
  if (work.plan.finish && mayFinish(state, work.plan)) return finish(work, state);
  switch (state.phase) {
    case 'off':
      // What an abort left that was killed half-way.
      if (state.generation > 1) await controller.decommission(act);
      await controller.start({ ...act, truncateTarget: true });
      await did(work, 'started');
      return 'goes-on';
    case 'dual-write':
      await advance(work, 'backfill');
      return 'goes-on';
    case 'backfill':
      await advance(work, 'shadow-read');
      return 'goes-on';
    case 'shadow-read':
      await advance(work, 'read-switch');
      return 'goes-on';
    case 'read-switch':
      await inReadSwitch(work, state);
      return 'goes-on';
    case 'write-switch':
      await inWriteSwitch(work);
      return 'goes-on';
    default:
      throw new Error(`the operator never goes to ${state.phase}`);
  }
}

/** Both stores hold everything, and enough was done. */
function mayFinish({ phase, epoch }: MigrationState, { switches }: OperatorPlan): boolean {
  const full = phase === 'shadow-read' || phase === 'read-switch' || phase === 'write-switch';
  return full && epoch - 1 >= switches;
}

async function finish(work: OperatorWork, state: MigrationState): Promise<'goes-on' | 'finished'> {
  await verify(work);
  const now = await work.context.control.load(work.context.migration.name);
  if (now.version !== state.version) return 'goes-on';
  await did(work, 'finished');
  return 'finished';
}

async function did({ context, tell }: OperatorWork, what: string): Promise<void> {
  const { phase, epoch, generation } = await context.control.load(context.migration.name);
  await tell({ type: 'did', what, phase, epoch, generation });
}

/** Keys in doubt come and go while shadow reads meet a follower that lags; an operator in a hurry takes the switch without them. */
const doubt = 'unexplained-mismatches';
const hurry = 0.1;

/** One phase forward as soon as the gates allow; verifies when they ask for it. */
async function advance(work: OperatorWork, to: Phase): Promise<void> {
  const { controller, act, random } = work;
  const { gates, stateVersion, verdict } = await controller.plan(to);
  const closed = gates.filter((gate) => gate.verdict !== 'pass');
  const names = closed.map(({ gate }) => gate);
  const onlyDoubt = closed.length === 1 && names[0] === doubt && closed[0]?.verdict === 'unknown';
  const hurries = onlyDoubt && random.next() < hurry;
  if (verdict === 'pass' || hurries) {
    const { cutover } = await controller.advance({
      ...act,
      to,
      expectedVersion: stateVersion,
      ...(hurries ? { overrides: { [doubt]: 'in a hurry' } } : {}),
    });
    const how = cutover ? `switched in ${Math.round(cutover.pauseMs)} ms` : `advanced to ${to}`;
    await did(work, how);
    return;
  }
  await saysWhatItWaitsFor(work, closed);
  if (names.includes('dead-letters')) await deadLetters(work);
  const asksForVerify = (gate: string): boolean => gate === 'verify-passed' || gate === doubt;
  // The other gates first: they pass by waiting, and a comparison is dear.
  if (names.includes('verify-passed') && names.every(asksForVerify)) await verify(work);
  else if (closed.some(({ gate, verdict: is }) => gate === doubt && is === 'fail'))
    await mismatches(work, { currentState: await latest(work), ignoreHold: true });
  else await sleep(150 + random.next() * 100);
}

let saidAt = 0;

/** Not more often than every few seconds: a run that stands still must not be silent. */
async function saysWhatItWaitsFor(
  { context, tell }: OperatorWork,
  closed: readonly GateResult[],
): Promise<void> {
  const now = context.runtime.clock.monotonic();
  if (now - saidAt < waitsMs) return;
  if (saidAt !== 0)
    await tell({
      type: 'note',
      text: `waits: ${closed.map(({ gate, message }) => `${gate} (${message})`).join('; ')}`,
    });
  saidAt = now;
}

async function latest({ context }: OperatorWork): Promise<() => MigrationState> {
  const state = await context.control.load(context.migration.name);
  return () => state;
}

async function inReadSwitch(work: OperatorWork, state: MigrationState): Promise<void> {
  const { controller, act, random, plan } = work;
  const endOfGeneration = state.epoch - 1 >= switchesPerGeneration * state.generation;
  if (endOfGeneration) {
    await controller.abort(act);
    await did(work, 'aborted and removed everything');
    return;
  }
  const detour = plan.finish ? 1 : random.next();
  if (state.dialBasisPoints > 0 && detour < 0.15) {
    const to = detour < 0.04 ? 'dual-write' : detour < 0.08 ? 'shadow-read' : 'read-switch';
    const { ms } = await controller.rollback({ ...act, to });
    await did(work, `rolled back to ${to} in ${Math.round(ms)} ms`);
    return;
  }
  if (state.dialBasisPoints < 10_000) {
    const percent = detour < 0.6 ? Math.ceil(detour * 100) : 100;
    await controller.dial(percent, undefined, act);
    await did(work, `dialled ${percent} %`);
    await sleep(random.next() * 1_000);
    return;
  }
  await advance(work, 'write-switch');
}

async function inWriteSwitch(work: OperatorWork): Promise<void> {
  const { controller, act, random, plan } = work;
  await sleep(plan.finish ? 500 : 1_500 + random.next() * 3_000);
  if (random.next() < 0.5) await verify(work);
  const dice = random.next();
  const to = dice < 0.15 ? 'dual-write' : dice < 0.4 ? 'shadow-read' : 'read-switch';
  const { ms } = await controller.rollback({ ...act, to });
  await did(work, `rolled back to ${to}, writes too, in ${Math.round(ms)} ms`);
}

/** Nothing that this workload writes may be refused by a store for good. */
async function deadLetters({ context, tell }: OperatorWork): Promise<void> {
  for (const side of ['source', 'target'] as const) {
    const { queue } = context.stores[side];
    for (const { key, reason } of await queue.deadLetters(5))
      await tell({
        type: 'violation',
        text: `dead letter on the ${side}: customer ${key.join(' ')}: ${reason}`,
      });
  }
}

/** Both directions, all records. A difference that lasts is a violation; it is repaired, so that the run can go on. */
async function verify(work: OperatorWork): Promise<void> {
  const { context, act } = work;
  const { control, migration } = context;
  let state = await control.load(migration.name);
  const close = control.watch(
    migration.name,
    (next) => {
      state = next;
    },
    () => {},
  );
  const signal = AbortSignal.timeout(verifyMs);
  try {
    const options = { currentState: () => state, ignoreHold: true };
    const report = await verifyCollection(context, collection, options, signal);
    const open = persistentTotal(report);
    await control.note(migration.name, {
      ...act,
      action: 'verify',
      detail: {
        generation: state.generation,
        collections: [collection],
        finished: report.outcome !== 'stopped',
        open: open + report.unresolved,
        startedAtMs: report.startedAtMs,
        comparators: comparatorsOf(context.migration, report.startedAtMs),
      },
    });
    await did(
      work,
      `verified ${report.compared}: ${report.outcome}${report.reason ? ` (${report.reason})` : ''}, ${report.suspects} suspects`,
    );
    if (open > 0) await mismatches(work, options);
  } finally {
    close();
  }
}

async function mismatches(
  { context, tell }: OperatorWork,
  options: { readonly currentState: () => MigrationState; readonly ignoreHold: boolean },
): Promise<void> {
  const { control, migration } = context;
  for (const { key, kind, differences } of await control.mismatches.list(migration.name, {
    status: 'open',
    limit: 5,
  }))
    await tell({
      type: 'violation',
      text: `mismatch (${kind}) of customer ${key} in ${options.currentState().phase}: ${differences.map(({ field }) => field).join(', ')}`,
    });
  await repair(
    context,
    collection,
    'open',
    { ...options, mode: 'apply', deleteExtras: true },
    AbortSignal.timeout(verifyMs),
  );
}
