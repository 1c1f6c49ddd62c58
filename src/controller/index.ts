export { createController } from './controller.ts';
export type { GapDesk } from './gap-desk.ts';
export type { RescueOptions, RescueSurvey } from './rescue-migration.ts';
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
