import { hostname, userInfo } from 'node:os';
import type { Act, AdvanceResult } from '../controller/index.ts';
import { isChangeoverError } from '../errors/index.ts';
import type { GateResult } from '../gates/index.ts';
import type { Phase } from '../migration/index.ts';
import { monotonicMs } from './ledger.ts';
import { type StoryWorld, until } from './story-world.ts';

const readyTimeoutMs = 60_000;
const lookEveryMs = 300;

/** Who acts in the audit. */
export function act(reason: string): Act {
  return { actor: `${userName()}@${hostname()}`, reason };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // An account without an entry in the user database, as in some containers.
    return 'demo';
  }
}

/** Asks the gates until all pass, shows what they say, and goes one phase forward. Never overrides one. */
export async function advanceWhenReady(world: StoryWorld, to: Phase): Promise<AdvanceResult> {
  const { controller, say, signal } = world;
  const deadline = monotonicMs() + readyTimeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const plan = await controller.plan(to);
    if (plan.verdict === 'pass') {
      sayGates(world, to, plan.gates);
      try {
        return await controller.advance({
          to,
          expectedVersion: plan.stateVersion,
          ...act('the demo goes on'),
        });
      } catch (error) {
        // Between the question and the act something changed, or a switch undid itself: ask again.
        if (
          !isChangeoverError(error, 'STATE_CHANGED', 'GATE_FAILED', 'CUTOVER_ABORTED') ||
          monotonicMs() > deadline
        )
          throw error;
        say('warn', 'gates', error.message);
      }
    } else if (monotonicMs() > deadline) {
      throw new Error(
        `the gates to ${to} did not pass: ${plan.gates
          .filter(({ verdict }) => verdict !== 'pass')
          .map(({ gate, message }) => `${gate}: ${message}`)
          .join('; ')}`,
      );
    }
    await world.stay(lookEveryMs / Math.max(0.1, world.options.pace));
  }
}

function sayGates(world: StoryWorld, to: Phase, gates: readonly GateResult[]): void {
  const names = gates.map(({ gate }) => gate).join(' · ');
  world.say(
    'good',
    'gates',
    `${to}: ${gates.length} of ${gates.length} pass (${world.profile.name}): ${names}`,
  );
  const parity = gates.find(({ gate }) => gate === 'shadow-read-parity');
  if (parity) world.say('info', 'gates', parity.message);
}

/** Every living application process works by this state or a newer one. */
export async function allFollow(world: StoryWorld, version: number): Promise<void> {
  await until(world, `all applications at state ${version}`, 10_000, () =>
    world.applications.every((shop) => (world.states.get(shop)?.version ?? 0) >= version),
  );
}
