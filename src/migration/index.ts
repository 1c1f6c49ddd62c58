export type { ModifiedSetting, ParitySetting, RepairSetting } from './checking.ts';
export {
  type Capture,
  type ChildShape,
  type Collection,
  collectionOf,
  type FailureMode,
  type IgnoredField,
  type Migration,
  type Shape,
  type Transform,
  toFollower,
  type WriteMode,
} from './definition.ts';
export { dialBucket, dialBuckets, isDialled } from './dial.ts';
export {
  type ChangeoverEvent,
  type ChangeoverEventType,
  createEventHub,
  type EventHub,
  type EventSink,
} from './events.ts';
export { forwardIsShut } from './gap.ts';
export { isPhase, otherSide, type Phase, phaseOrder, phases, type Side } from './phase.ts';
export { authorityOf, followerOf, type Routing, routingTable } from './routing.ts';
export {
  type CutoverState,
  type GapState,
  initialState,
  type MigrationState,
  type RescueKind,
} from './state.ts';
export {
  type EventType,
  isRefusal,
  type MigrationEvent,
  nextPhase,
  type Refusal,
  transition,
  transitionTable,
} from './transition.ts';
