export { createLogger, type EventLogger, type LoggerOptions } from './logger.ts';
export {
  durationBoundsSeconds,
  type MetricEntry,
  type MetricName,
  type MetricType,
  metricTable,
} from './metric-table.ts';
export { createMetrics, type Metrics, type MetricsOptions } from './metrics.ts';
export { bridgeSpans, type TraceApi } from './tracing.ts';
