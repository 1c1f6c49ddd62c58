import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError } from '../errors/index.ts';
import type { MigrationState } from '../migration/index.ts';
import type { RouterOptions } from './router-options.ts';
import type { Pass, StateView } from './state-view.ts';

/** When the authority had confirmed (monotonic ms); 0 until then. */
export interface WriteTiming {
  authorityAt: number;
  /** The store has refused this state for a while, and nothing newer is known; see `STUCK_MS`. */
  readonly stuck: boolean;
}

/**
 * A start that died, or that lost the control store, between the guard and the state leaves a guard that wants journalled writes and a state
 * that journals none. After this time without news an unjournalled write is journalled instead, which that guard lets in.
 */
const STUCK_MS = 250;

/**
 * Lets writes through, one state at a time: *held* while a switch holds writes → *routed* under a pass → *again* by a newer state when a
 * store refused it because authority has moved. Nothing of a write is made before its pass.
 */
export class WriteGate {
  readonly #context: MigrationContext;
  readonly #options: RouterOptions;
  readonly #view: StateView;
  #held = 0;

  constructor(context: MigrationContext, options: RouterOptions, view: StateView) {
    this.#context = context;
    this.#options = options;
    this.#view = view;
  }

  /**
   * Runs `attempt` under a pass while writes are not held. AUTHORITY_FENCED and DOOR_SHUT mean that a store refused it because authority
   * moves or has moved: nothing was written, so it runs again by a newer state, within the hold deadline. Everything else is the caller's.
   */
  async routed<T>(
    collection: string,
    attempt: (pass: Pass, timing: WriteTiming) => Promise<T>,
  ): Promise<T> {
    const { clock } = this.#context.runtime;
    const started = clock.monotonic();
    let refused = null as { readonly version: number; readonly at: number } | null;
    for (;;) {
      if (this.#view.current().cutover?.writesHeld) await this.#waitForRelease(collection, started);
      const pass = this.#view.enter();
      const timing: WriteTiming = {
        authorityAt: 0,
        stuck:
          refused !== null &&
          refused.version === pass.state.version &&
          clock.monotonic() - refused.at >= STUCK_MS,
      };
      let failure: unknown;
      try {
        if (pass.state.cutover?.writesHeld) continue;
        const result = await attempt(pass, timing);
        this.#emitWrite(collection, pass.state, 'committed', started, timing);
        return result;
      } catch (error) {
        failure = error;
      } finally {
        pass.leave();
      }
      const moved = isChangeoverError(failure, 'AUTHORITY_FENCED', 'DOOR_SHUT');
      if (!moved || clock.monotonic() - started >= this.#options.holdMs) {
        const outcome = isChangeoverError(failure, 'OUTCOME_UNKNOWN') ? 'unknown' : 'rejected';
        this.#emitWrite(collection, pass.state, outcome, started, timing);
        throw failure;
      }
      if (refused?.version !== pass.state.version)
        refused = { version: pass.state.version, at: clock.monotonic() };
      await this.#catchUp(pass.state);
    }
  }

  #emitWrite(
    collection: string,
    state: MigrationState,
    outcome: 'committed' | 'rejected' | 'unknown',
    started: number,
    timing: WriteTiming,
  ): void {
    const totalMs = this.#context.runtime.clock.monotonic() - started;
    const authorityMs = timing.authorityAt === 0 ? totalMs : timing.authorityAt - started;
    this.#context.events.emit({
      type: 'write',
      collection,
      phase: state.phase,
      outcome,
      authorityMs,
      totalMs,
    });
  }

  async #waitForRelease(collection: string, started: number): Promise<void> {
    const { clock } = this.#context.runtime;
    const since = clock.monotonic();
    const refuse = (why: string): never => {
      this.#context.events.emit({
        type: 'held',
        collection,
        ms: clock.monotonic() - since,
        outcome: 'expired',
      });
      throw new ChangeoverError('HOLD_EXPIRED', `${why} The write was not made.`, {
        data: { collection },
      });
    };
    if (this.#held >= this.#options.heldMax)
      refuse(`${this.#held} writes are being held for a switch already.`);
    this.#held++;
    try {
      for (;;) {
        const state = this.#view.current();
        if (!state.cutover?.writesHeld) break;
        const left = this.#options.holdMs - (clock.monotonic() - started);
        // Never released on a guess: without news of the end of the hold the write is refused.
        if (left <= 0) refuse(`Writes have been held for ${this.#options.holdMs} ms.`);
        await this.#view.waitBeyond(state.version, left);
      }
    } finally {
      this.#held--;
    }
    this.#context.events.emit({
      type: 'held',
      collection,
      ms: clock.monotonic() - since,
      outcome: 'released',
    });
  }

  /** After the store refused us: learn what everybody else knows, or give it a moment to be published. */
  async #catchUp(routedBy: MigrationState): Promise<void> {
    await this.#view.refresh();
    if (this.#view.current().version <= routedBy.version)
      await this.#view.waitBeyond(routedBy.version, 25);
  }
}
