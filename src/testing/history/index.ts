export { checkHistory, type HistoryCheckOptions } from './check-history.ts';
export type {
  HistoryFault,
  HistoryFaultKind,
  HistoryVerdict,
  Operation,
  OperationHistory,
  ReadDemand,
  ReadOperation,
  WriteOperation,
} from './history.ts';
export { routeOf } from './route-of.ts';
