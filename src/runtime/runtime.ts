import { type Clock, systemClock } from './clock.ts';
import { type Random, systemRandom } from './random.ts';

/** Everything that is not determined by inputs. Passed to each engine; simulation passes its own. */
export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
}

export const systemRuntime: Runtime = { clock: systemClock, random: systemRandom };
