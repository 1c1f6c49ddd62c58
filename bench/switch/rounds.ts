import { setTimeout as sleep } from 'node:timers/promises';
import {
  applierDefaults,
  drainLog,
  drainUntilEmpty,
  logApplierDefaults,
} from '../../src/capture/index.ts';
import { cutoverLimitsOf, type OpenedMigration } from '../../src/config/index.ts';
import { type SwitchOptions, type SwitchResult, switchAuthority } from '../../src/cutover/index.ts';
import type { MigrationState } from '../../src/migration/index.ts';
import { recheckSuspects } from '../../src/verify/index.ts';
import { median, percentile } from '../measure.ts';

/** One request of the application. */
export interface Request {
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
  readonly ms: number;
}

/** One change of authority, or something that it is compared with. */
export interface Round {
  readonly beganAt: number;
  readonly endedAt: number;
  /** null: not a change of authority. */
  readonly result: SwitchResult | null;
}

/** Between two rounds: the application is back to what it usually does. */
const restMs = 400;

async function round(work: () => Promise<SwitchResult | null>): Promise<Round> {
  await sleep(restMs * (0.5 + Math.random()));
  const beganAt = Date.now();
  const result = await work();
  return { beganAt, endedAt: Date.now(), result };
}

/** What `changeover switch-writes` does itself, beside the worker. */
function byCommandLine(
  migration: OpenedMigration,
): Required<Pick<SwitchOptions, 'drain' | 'recheck'>> {
  const load = (): Promise<MigrationState> => migration.control.load(migration.migration.name);
  const { holdMs } = migration.options.switch;
  return {
    async drain(_side, signal) {
      const state = await load();
      await drainLog(migration, state, logApplierDefaults, holdMs, signal);
      return drainUntilEmpty(migration, state, applierDefaults, holdMs, signal);
    },
    async recheck(signal) {
      const state = await load();
      const looks = { currentState: () => state, ignoreHold: true, recheck: { delaysMs: [0] } };
      return recheckSuspects(migration, looks, signal);
    },
  };
}

/** So many changes to the target, and as many back. */
export async function switchThereAndBack(
  migration: OpenedMigration,
  times: number,
  say: (line: string) => void,
): Promise<readonly Round[]> {
  const rounds: Round[] = [];
  for (let at = 0; at < times * 2; at++) {
    const to = at % 2 === 0 ? 'target' : 'source';
    const done = await round(() =>
      switchAuthority(migration, {
        ...cutoverLimitsOf(migration.options),
        ...byCommandLine(migration),
        to,
        phaseAfter: to === 'target' ? 'write-switch' : 'read-switch',
        actor: 'bench',
        reason: 'bench',
      }),
    );
    if (done.result?.settled !== true) throw new Error(`not settled: ${done.result?.problem}`);
    rounds.push(done);
  }
  say(stepsOf(rounds));
  return rounds;
}

export async function repeat(times: number, work: () => Promise<void>): Promise<readonly Round[]> {
  const rounds: Round[] = [];
  for (let at = 0; at < times; at++) rounds.push(await round(() => work().then(() => null)));
  return rounds;
}

/** Medians of the steps, in order. */
function stepsOf(rounds: readonly Round[]): string {
  const results = rounds.flatMap(({ result }) => (result ? [result] : []));
  const told = (results[0]?.steps ?? []).map(({ step }) => {
    const times = results.map((one) => one.steps.find((found) => found.step === step)?.ms ?? 0);
    return `${step} ${median(times).toFixed(1)}`;
  });
  return `medians of the steps in ms: ${told.join(', ')}`;
}

/** The longest request that was under way in each round: what somebody waited. */
export function longestIn(rounds: readonly Round[], requests: readonly Request[]): number[] {
  return rounds.map(({ beganAt, endedAt }) =>
    Math.max(
      0,
      ...requests
        .filter((one) => one.endedAt >= beganAt && one.endedAt - one.ms <= endedAt)
        .map(({ ms }) => ms),
    ),
  );
}

export const pausesOf = (rounds: readonly Round[]): number[] =>
  rounds.flatMap(({ result }) => (result ? [result.pauseMs] : []));

/** `p50 12.3, p99 45.6, longest 50.1`. */
export const described = (values: readonly number[]): string =>
  `p50 ${percentile(values, 0.5).toFixed(1)}, p99 ${percentile(values, 0.99).toFixed(1)}, longest ${Math.max(...values).toFixed(1)} ms`;
