export { type BackoffPolicy, backoffMs } from './backoff.ts';
export { type Clock, systemClock } from './clock.ts';
export { withDeadline } from './deadline.ts';
export { leastOf } from './least-of.ts';
export { type Random, seededRandom, systemRandom } from './random.ts';
export { type Runtime, systemRuntime } from './runtime.ts';
