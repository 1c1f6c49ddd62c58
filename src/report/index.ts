export { canonicalJson, type Json } from './canonical-json.ts';
export { checkReport, type ReportCheck } from './check-report.ts';
export { type GatherOptions, gatherReport } from './gather-report.ts';
export {
  dayCount,
  type Programme,
  type ProgrammeCost,
  type ProgrammeStatus,
  programmeStatus,
} from './programme.ts';
export type { ReportData } from './report-data.ts';
export type { ReportFormat } from './seal.ts';
export { reportFormats, type WrittenReport, writeReport } from './write-report.ts';
