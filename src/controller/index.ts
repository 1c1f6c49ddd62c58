export { createController } from './controller.ts';
export type {
  AbortOptions,
  AcknowledgementOptions,
  Act,
  AdvanceOptions,
  AdvanceResult,
  Controller,
  ControllerOptions,
  FleetGroup,
  Plan,
  RollbackOptions,
  RollbackReadiness,
  RollbackResult,
  SideStatus,
  StartOptions,
  Status,
} from './controller-types.ts';
export type { DrillCheck, DrillResult } from './drill-rollback.ts';
export type { GapDesk } from './gap-desk.ts';
export type { LastDrill } from './last-drill.ts';
export type { RescueOptions, RescueSurvey } from './rescue-migration.ts';
