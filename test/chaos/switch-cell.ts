import { setTimeout as sleep } from 'node:timers/promises';
import type { CutoverStep } from '../../src/cutover/index.ts';
import { expectedGuard } from '../../src/cutover/index.ts';
import { monotonicMs } from '../../src/demo/ledger.ts';
import type { Side } from '../../src/demo/store-snapshot.ts';
import type { MigrationState } from '../../src/migration/index.ts';
import { routerDefaults } from '../../src/router/index.ts';
import { type Random, seededRandom } from '../../src/runtime/index.ts';
import type { Child } from './child.ts';
import type { ChangeOrder, ChildMessage } from './child-messages.ts';
import { switchFaults } from './switch-faults.ts';
import { answersAfter, failuresAfter, judgeCell, longestGapMs } from './switch-judgement.ts';
import type { SwitchFaultName } from './switch-options.ts';
import type { SwitchWorld } from './switch-world.ts';

/** One change of authority, and what befalls it. */
export interface Cell {
  readonly to: Side;
  readonly step: CutoverStep;
  readonly fault: SwitchFaultName;
}

/** `refused`: before it began, nothing was changed. `undone`: begun, and the old authority has it again. */
export type CellOutcome = 'refused' | 'undone' | 'completed';

export interface CellResult extends Cell {
  readonly ok: boolean;
  readonly outcome: CellOutcome | null;
  /** Longest time in which no instance that was not hit itself had a write acknowledged. */
  readonly pauseMs: number;
  /** From the end of the fault until every instance has made a write that began after it. */
  readonly recoveredMs: number;
  /** Requests that failed, of instances that were not hit themselves: code → how many. */
  readonly failures: Readonly<Record<string, number>>;
  /** What is true and worth knowing, but no fault. */
  readonly notes: readonly string[];
  /** Why it is not good; [] when it is. */
  readonly problems: readonly string[];
  /** Everything that happened, for whoever has to understand a problem. */
  readonly account: readonly string[];
  readonly ms: number;
}

/** Beyond this share of its time lost to others, a machine says nothing about how long things take. */
const lostMax = 0.2;
/** Within this the application goes on after the end of a fault: held writes must not run out. */
const budgetMs = routerDefaults.holdMs;
const stepMs = 120_000;
const changeMs = 120_000;
const settleMs = 60_000;
const lookMs = 10;
const triesMax = 4;

/** Every cell has chances of its own, whatever was run before it. */
function randomOf(seed: number, { to, step, fault }: Cell): Random {
  let hash = seed;
  for (const char of `${to} ${step} ${fault}`)
    hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
  return seededRandom(hash);
}

/** Makes the change, strikes at its step, heals, and judges everything. The authority is on the other side before, and everything is quiet. */
export async function runCell(world: SwitchWorld, cell: Cell): Promise<CellResult> {
  const run = new CellRun(world, cell);
  try {
    return await run.result();
  } catch (error) {
    return run.failed(error as Error);
  }
}

/** Measures how much later than wanted a timer rings: the share of time that other processes have taken from us. */
function startLateness(): () => number {
  const tickMs = 20;
  const started = performance.now();
  let [last, lateMs] = [started, 0];
  const timer = setInterval(() => {
    const now = performance.now();
    lateMs += Math.max(0, now - last - tickMs);
    last = now;
  }, tickMs);
  return () => {
    clearInterval(timer);
    return lateMs / (performance.now() - started);
  };
}

type LastWord = Extract<ChildMessage, { readonly type: 'changed' | 'not-changed' }>;

class CellRun {
  readonly #world: SwitchWorld;
  readonly #cell: Cell;
  readonly #random: Random;
  readonly #startedAtMs = Date.now();
  readonly #started = performance.now();
  readonly #account: string[] = [];
  readonly #problems: string[] = [];
  /** Those that are none on a machine that has no time for us. */
  readonly #late: string[] = [];
  readonly #lost = startLateness();

  constructor(world: SwitchWorld, cell: Cell) {
    this.#world = world;
    this.#cell = cell;
    this.#random = randomOf(world.options.seed, cell);
  }

  async result(): Promise<CellResult> {
    const { applications } = this.#world;
    const before = await this.#load();
    this.#tell(`before: ${before.phase}, epoch ${before.epoch}`);
    for (const child of applications) child.send({ type: 'resume' });
    await this.#allWrite(monotonicMs(), stepMs, 'at the beginning');
    const { word, faultAt, healedAt, hit, successor } = await this.#change();
    const state = await this.#settled();
    const recoveredMs = await this.#allWrite(healedAt, budgetMs, 'after the end of the fault');
    const pausedUntil = monotonicMs();
    await this.#world.quiet();
    await successor;
    const unhit = this.#world.ledgers.filter(
      (_, index) => !hit.includes(applications[index] as Child),
    );
    const pauseMs = longestGapMs(unhit, faultAt, pausedUntil);
    const failures = failuresAfter(unhit, faultAt);
    const judged = await judgeCell(this.#world, this.#startedAtMs);
    const outcome = this.#outcome(before, state, judged.begun);
    this.#expect(outcome, word, failures);
    this.#account.push(...judged.account);
    this.#problems.push(...judged.problems);
    return {
      ...this.#cell,
      ...{ outcome, pauseMs, recoveredMs, failures },
      ...this.#end(judged.notes),
    };
  }

  failed(error: Error): CellResult {
    this.#problems.push(error.message);
    return {
      ...this.#cell,
      ...{ outcome: null, pauseMs: Number.NaN, recoveredMs: Number.NaN, failures: {} },
      ...this.#end([]),
    };
  }

  #end(notes: readonly string[]): Pick<CellResult, 'ok' | 'problems' | 'notes' | 'account' | 'ms'> {
    const { violations } = this.#world;
    const lost = this.#lost();
    const busy =
      lost > lostMax ? `the machine was busy elsewhere (${Math.round(lost * 100)} %)` : '';
    const problems = [
      ...this.#problems,
      ...(busy === '' ? this.#late : []),
      ...violations.splice(0),
    ];
    return {
      ok: problems.length === 0,
      problems,
      notes: [...notes, ...(busy === '' ? [] : this.#late.map((text) => `${text}; ${busy}`))],
      account: this.#account,
      ms: performance.now() - this.#started,
    };
  }

  /** The change of authority with its fault, up to the coordinator's last word (null: it has none any more) and the end of the fault. */
  async #change(): Promise<{
    readonly word: string | null;
    readonly faultAt: number;
    readonly healedAt: number;
    readonly hit: readonly Child[];
    /** The next coordinator is there, when this one was killed. */
    readonly successor: Promise<void> | undefined;
  }> {
    const { coordinator, options } = this.#world;
    const { fault, step, to } = this.#cell;
    const waits = options.timing === 'before';
    const { last } = await this.#arrive({
      ...{ to, waits, tellsAt: step, drainsItself: this.#random.next() < 0.5 },
      dialPercent: Math.floor(this.#random.next() * 3) * 50,
    });
    if (!waits) await sleep(this.#random.next() * 20);
    const faultAt = monotonicMs();
    const struck = await switchFaults[fault](this.#world, this.#random);
    this.#tell(`${options.timing} ${step}: ${struck.what}`);
    coordinator.send({ type: 'go-on' });
    const dead = fault === 'kill-coordinator';
    const word = dead ? Promise.resolve(null) : last.then((message) => this.#word(message));
    await struck.heal(word);
    const healedAt = monotonicMs();
    this.#tell(`the fault is over after ${Math.round(healedAt - faultAt)} ms`);
    return { word: await word, faultAt, healedAt, hit: struck.hit, successor: struck.successor };
  }

  /** Has the coordinator come to the step; gives its last word. A slow machine may need several attempts. */
  async #arrive(order: ChangeOrder): Promise<{ readonly last: Promise<LastWord> }> {
    const { coordinator } = this.#world;
    for (let tries = 1; ; tries++) {
      const arrived = this.#world.next(coordinator, ['at-step', 'not-changed', 'changed'], stepMs);
      const last = this.#world.next(coordinator, ['changed', 'not-changed'], stepMs + changeMs);
      last.catch(() => {});
      coordinator.send({ type: 'change', order });
      const first = await arrived;
      if (first.type === 'at-step') return { last };
      const text = `attempt ${tries} did not come to its step: ${first.type === 'changed' ? first.type : first.message}`;
      if (tries === triesMax) throw new Error(text);
      this.#late.push(text);
      await this.#settled();
    }
  }

  #word(message: LastWord): string {
    const word = message.type === 'changed' ? message.type : message.code;
    this.#tell(`the coordinator says: ${message.type === 'changed' ? word : message.message}`);
    return word;
  }

  /** No change of authority is under way, and both guards are as the state wants them. */
  async #settled(): Promise<MigrationState> {
    const { stores } = this.#world.opened;
    const until = performance.now() + settleMs;
    for (let why = ''; ; ) {
      try {
        const state = await this.#load();
        why =
          state.cutover === null
            ? ''
            : `attempt ${state.cutover.attempt} is ${state.cutover.status}`;
        for (const side of ['source', 'target'] as const) {
          const [is, wanted] = [await stores[side].guard.read(), expectedGuard(state, side)];
          if (JSON.stringify(is) !== JSON.stringify(wanted))
            why ||= `the guard of the ${side} is ${JSON.stringify(is)}, not ${JSON.stringify(wanted)}`;
        }
        if (why === '') return state;
      } catch (error) {
        why = (error as Error).message;
      }
      if (performance.now() > until) throw new Error(`not settled after ${settleMs} ms: ${why}`);
      await sleep(lookMs);
    }
  }

  /** Every instance has made a write that began after `since`; how long that took. */
  async #allWrite(since: number, withinMs: number, when: string): Promise<number> {
    const { ledgers, applications } = this.#world;
    for (;;) {
      const answers = ledgers.map((ledger) => answersAfter(ledger, since));
      const last = Math.max(...answers);
      const tookMs = (Number.isFinite(last) ? last : monotonicMs()) - since;
      if (Number.isFinite(last) || tookMs > withinMs + stepMs) {
        if (tookMs <= withinMs) return tookMs;
        const late = applications.filter(
          (_, index) => !((answers[index] ?? 0) - since <= withinMs),
        );
        this.#late.push(
          `${late.map(({ name }) => name).join(', ')} had no write acknowledged within ${withinMs} ms ${when}, but after ${Math.round(tookMs)} ms`,
        );
        return tookMs;
      }
      await sleep(lookMs);
    }
  }

  #outcome(before: MigrationState, after: MigrationState, begun: boolean): CellOutcome {
    if (after.epoch > before.epoch) return 'completed';
    return begun ? 'undone' : 'refused';
  }

  /** What must be so, whatever the chances were. */
  #expect(
    outcome: CellOutcome,
    word: string | null,
    failures: Readonly<Record<string, number>>,
  ): void {
    const { fault, step } = this.#cell;
    const wrong = (text: string): void => {
      this.#problems.push(text);
    };
    if (word === 'changed' && outcome !== 'completed')
      wrong(`the coordinator says that it has changed, and it is ${outcome}`);
    const undecided = word === null || word === 'changed' || word === 'CONTROL_UNAVAILABLE';
    if (!undecided && outcome === 'completed')
      wrong(`the coordinator says ${word}, and it is completed`);
    const exact = this.#world.options.timing === 'before';
    if (exact && step === 'settle' && outcome !== 'completed')
      wrong(`it is ${outcome}, and the commit was before the fault`);
    if (fault === 'none' && outcome !== 'completed')
      this.#late.push(`it is ${outcome}, and nothing stood in its way`);
    if (exact && fault === 'kill-coordinator' && step !== 'settle' && outcome === 'completed')
      wrong('its coordinator died before the commit, and it is completed');
    const serverDown = ['kill-source', 'kill-target', 'kill-control'].includes(fault);
    if (!serverDown && Object.keys(failures).length > 0)
      this.#late.push(`requests failed while all servers were there: ${JSON.stringify(failures)}`);
  }

  #load(): Promise<MigrationState> {
    const { control, migration } = this.#world.opened;
    return control.load(migration.name);
  }

  #tell(text: string): void {
    const ms = (performance.now() - this.#started).toFixed(0).padStart(6);
    this.#account.push(`${ms} ms  ${text}`);
  }
}
